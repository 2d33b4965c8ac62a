// Writes files as a C source: embed OUT FILE...; FILE page.css becomes `const char page_css[]`, ended by NUL.
#include <stdio.h>
#include <string.h>

static int write_one(FILE *out, const char *path)
{
	FILE *in = fopen(path, "rb");
	if (!in) {
		perror(path);
		return 1;
	}
	const char *name = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	fputs("const char ", out);
	for (; *name; name++)
		fputc(*name == '.' || *name == '-' ? '_' : *name, out);
	fputs("[] = {", out);
	long count = 0;
	for (int c; (c = fgetc(in)) != EOF; count++)
		fprintf(out, "%s%d,", count % 20 ? "" : "\n", c > 127 ? c - 256 : c);
	fputs("0};\n", out);
	return fclose(in);
}

int main(int argc, char **argv)
{
	FILE *out = argc > 2 ? fopen(argv[1], "wb") : NULL;
	if (!out) {
		fputs("usage: embed OUT FILE...\n", stderr);
		return 1;
	}
	fputs("#include \"run/page.h\"\n\n", out);
	for (int i = 2; i < argc; i++)
		if (write_one(out, argv[i]))
			return 1;
	return fclose(out);
}
