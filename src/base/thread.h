// Threads that leave signals to the loop's thread, and condition variables that are waited for so many seconds.
// It has no queues: base/parallel.h runs many tasks.
#ifndef BASE_THREAD_H
#define BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

// Starts a thread that gets no signals. attr may be NULL. 0, or the number of the error.
int thread_start(pthread_t *thread, const pthread_attr_t *attr, void *(*main)(void *data), void *data);

// For thread_cond_wait, which takes no notice of a clock that is set.
void thread_cond_init(pthread_cond_t *cond);

// False when so many seconds are over; true before, with or without a reason, as pthread_cond_wait.
bool thread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *lock, double seconds);

#endif
