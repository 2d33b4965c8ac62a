// The loader (loader/loader.c), made part of the program when it is built. Who brings it into a pod, and what with, is
// agent_parts' business.
#ifndef KUBE_MUSTER_LOADER_H
#define KUBE_MUSTER_LOADER_H

extern const char muster_loader[];
extern const unsigned long muster_loader_size;

#endif
