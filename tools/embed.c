// Writes files as a C source: embed OUT HEADER FILE...; FILE page.css becomes `const char style_css[]`, ended by NUL,
// and its length `const unsigned long style_css_size`. HEADER declares them.
#include <stdio.h>
#include <string.h>

static int write_one(FILE *out, const char *path)
{
	FILE *in = fopen(path, "rb");
	if (!in) {
		perror(path);
		return 1;
	}
	char name[256];
	snprintf(name, sizeof name, "%s", strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	for (char *c = name; *c; c++)
		if (*c == '.' || *c == '-')
			*c = '_';
	fprintf(out, "const char %s[] = {", name);
	long count = 0;
	for (int c; (c = fgetc(in)) != EOF; count++)
		fprintf(out, "%s%d,", count % 20 ? "" : "\n", c > 127 ? c - 256 : c);
	fprintf(out, "0};\nconst unsigned long %s_size = %ld;\n", name, count);
	return fclose(in);
}

int main(int argc, char **argv)
{
	FILE *out = argc > 3 ? fopen(argv[1], "wb") : NULL;
	if (!out) {
		fputs("usage: embed OUT HEADER FILE...\n", stderr);
		return 1;
	}
	fprintf(out, "#include \"%s\"\n\n", argv[2]);
	for (int i = 3; i < argc; i++)
		if (write_one(out, argv[i]))
			return 1;
	return fclose(out);
}
