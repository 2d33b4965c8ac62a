// Names of files as text: any bytes that a file system can hold, written as UTF-8 and read back byte for byte.
// It touches no file and judges no path: see fs_is_inside.
//
// A byte that is not part of valid UTF-8, a control character and the backslash are written \xNN (two lower-case
// hexadecimal digits); everything else stands for itself. Events, reports and manifests name files in this form.
#ifndef BASE_PATH_TEXT_H
#define BASE_PATH_TEXT_H

char *path_text_encode(const char *path); // owned by the caller

// NULL when it is not what path_text_encode makes of some path: each path has exactly one text. Owned by the caller.
char *path_text_decode(const char *text);

#endif
