// A chain of layers over one flat block of parameters; the loss and the optimiser that go with it.
// Not a graph and not a framework: no shape is inferred, nothing is recorded, one forward then its backward.
#ifndef COMMON_NN_H
#define COMMON_NN_H
#include "common/layer.h"

#include <stdbool.h>
#include <stdio.h>

struct nn;

// Floats in the flat block of these layers: layer after layer, each as layer_param_count says.
size_t nn_param_count(const struct layer_spec *spec, int layers, struct layer_shape in);

// A network for batches of at most IN.n. PARAMS and GRADS (nn_param_count floats each) are not owned. Owned by the
// caller; DEVICE must outlive it. Values have their channels side by side ("NHWC"). Networks on one device share its
// working memory: from the first backward with LAYER_WEIGHTS of one network to its backward with LAYER_LAST no other
// may do the same.
struct nn *nn_new(struct layer_device *device, const struct layer_spec *spec, int layers, enum layer_way way,
	struct layer_shape in, const float *params, float *grads);
void nn_free(struct nn *net);

// Call after the parameters were written and before the next forward.
void nn_params_changed(struct nn *net);

// From IN, N images, to the output, valid until the next forward. IN must stay as it is until after the backward.
const float *nn_forward(struct nn *net, const float *in, int n);

// CALL(ARG) between one layer and the next, of either direction, from now on: for what others wait for meanwhile.
void nn_on_layer(struct nn *net, void (*call)(void *arg), void *arg);

// Where the gradients of parameters FIRST to FIRST + COUNT are complete, while the layers before them are still at it.
struct nn_ready {
	void (*call)(void *arg, size_t first, size_t count);
	void *arg;
};

// Back from DOUT, the loss's gradient at the output, for the last forward. LAYER_WEIGHTS: adds to GRADS, where all of
// it is to be found after a LAYER_LAST, which calls READY, unless NULL, for each layer. LAYER_INPUT: returns the
// gradient at the input, valid until the next backward of any network on the device; else NULL.
const float *nn_backward(struct nn *net, const float *dout, int what, const struct nn_ready *ready);

// One line that says what computes the network here: each layer's way, and whose instructions.
void nn_print_kernels(const struct nn *net, FILE *file);

// Binary cross entropy of sigmoid(LOGIT[i]) against TARGET (0 or 1), the mean of COUNT. Writes its gradient to DLOGIT
// and the mean probability to *PROBABILITY. It works on logits because log(sigmoid(x)) in float loses all at either
// end.
double nn_bce(const float *logit, int count, float target, float *dlogit, double *probability);

// Adam as Kingma and Ba wrote it (and PyTorch computes it).
struct nn_adam {
	float *m, *v;
	size_t count;
	long step;
	double rate, beta1, beta2, epsilon;
};

void nn_adam_init(struct nn_adam *adam, size_t count, double rate, double beta1, double beta2);
void nn_adam_fini(struct nn_adam *adam);

// One step of PARAMS along GRADS, both of adam->count floats.
void nn_adam_step(struct nn_adam *adam, float *params, const float *grads);

#endif
