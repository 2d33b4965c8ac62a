// The network: 784 pixels, one hidden layer with ReLU, 10 classes with softmax and cross entropy; its loss and its
// gradient for one batch. Not the optimiser (kernel.h) and not who keeps the parameters: they are given as rows that
// lie anywhere.
#ifndef MNIST_NET_H
#define MNIST_NET_H
#include <stddef.h>
#include <stdint.h>

#define NET_PIXELS 784
#define NET_CLASSES 10
#define NET_MAX_HIDDEN 4096

// All parameters are rows of net_width(HIDDEN) floats. Row 0 to 783: a pixel's weights to the hidden units; then the
// hidden units' biases; then ten rows, a class's weights from the hidden units; then the classes' biases. What a row is
// too long for is 0 and stays 0.
#define NET_ROW_HIDDEN_BIAS NET_PIXELS
#define NET_ROW_CLASS (NET_PIXELS + 1)
#define NET_ROW_CLASS_BIAS (NET_ROW_CLASS + NET_CLASSES)
#define NET_ROWS (NET_ROW_CLASS_BIAS + 1)

// Floats in a row: HIDDEN rounded up to four, at least 16.
size_t net_width(size_t hidden);

// Row ROW's initial values into OUT: normal, cut off at two deviations (1/28 for pixels, 1/sqrt(HIDDEN) for classes);
// biases 0.
void net_randomize(float *out, size_t row, size_t hidden, uint64_t seed);

struct net;

// For batches of exactly BATCH images. Caller frees.
struct net *net_new(size_t hidden, size_t batch);
void net_free(struct net *net);

// The batch: IMAGES[0..BATCH) point to 784 bytes each, LABELS[i] < 10. Nothing of it is kept by reference.
void net_load(struct net *net, const uint8_t *const *images, const uint8_t *labels);

// The loss, the mean over the batch in nats, for parameters ROWS[0..NET_ROWS); *CORRECT is how many images were put
// into the right class.
double net_forward(struct net *net, const float *const *rows, size_t *correct);

// After net_forward, with the same ROWS: prepares the gradient of the loss.
void net_backward(struct net *net, const float *const *rows);

// Whether a row's gradient can be other than zero for this batch: a pixel that is black in every image has none. Known
// after net_load.
int net_has_row(const struct net *net, size_t row);

// After net_backward: the gradient's rows from FIRST to before LAST that net_has_row, one after the other, into OUT.
void net_gradient(struct net *net, size_t first, size_t last, float *out);

#endif
