// Reads what Python pickled, of the few kinds that CIFAR-10's files hold: dictionaries, lists, numbers, strings, byte
// arrays of numpy. Not an unpickler: it never calls or imports anything; a name it does not know makes a value without
// meaning, an opcode it does not know ends it.
#ifndef COMMON_PICKLE_H
#define COMMON_PICKLE_H
#include <stddef.h>
#include <stdint.h>

struct pickle;

#define PICKLE_MAX_DIMS 4

// A numpy array of unsigned bytes in C order.
struct pickle_array {
	int dims;
	size_t dim[PICKLE_MAX_DIMS];
	const uint8_t *data; // the product of dim[] bytes; lives as long as the pickle
};

// Reads SIZE bytes at DATA (protocol 2; they must outlive the pickle), PATH being the name for messages. Dies with the
// byte's offset and the reason when they are not a pickle it reads.
struct pickle *pickle_parse(const char *path, const uint8_t *data, size_t size);
void pickle_free(struct pickle *p);

// The byte array under KEY (text or bytes) of the dictionary that was pickled. Dies when there is none, or its shape
// and its bytes disagree.
void pickle_find_array(const struct pickle *p, const char *key, struct pickle_array *out);

#endif
