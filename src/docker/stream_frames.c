#include "docker/stream_frames.h"

long stream_frames_next(struct stream_frames *f, const unsigned char *bytes, size_t len, int *kind,
	const unsigned char **payload, size_t *used)
{
	*used = 0;
	for (;;) {
		while (!f->left && f->got < sizeof f->head && *used < len)
			f->head[f->got++] = bytes[(*used)++];
		if (!f->left && f->got < sizeof f->head)
			return 0;
		if (!f->left) {
			const unsigned char *h = f->head;
			if (h[0] > STREAM_FRAMES_ERRORS || h[1] || h[2] || h[3])
				return -1;
			f->left = (uint32_t)h[4] << 24 | (uint32_t)h[5] << 16 | (uint32_t)h[6] << 8 | h[7];
		}
		if (!f->left) { // an empty frame
			f->got = 0;
			continue;
		}
		if (*used == len)
			return 0;
		size_t n = len - *used < f->left ? len - *used : f->left;
		*kind = f->head[0];
		*payload = bytes + *used;
		*used += n;
		f->left -= (uint32_t)n;
		if (!f->left)
			f->got = 0;
		return (long)n;
	}
}
