// A chain of layers over one flat block of parameters; the loss and the optimiser that go with it.
// Not a graph and not a framework: no shape is inferred, nothing is recorded, one forward then its backward.
#pragma once
#include "common/layer.h"

#include <stdbool.h>

struct nn;

// Floats in the flat block of these layers: layer after layer, each as layer_param_count says.
size_t nn_param_count(const struct layer_spec *spec, int layers, struct layer_shape in);

// A network for batches of exactly IN.n. PARAMS and GRADS (nn_param_count floats each) are not owned and may be shared by several
// networks of other batch sizes. Owned by the caller; DEVICE must outlive it.
struct nn *nn_new(
        struct layer_device *device, const struct layer_spec *spec, int layers, struct layer_shape in, const float *params, float *grads);
void nn_free(struct nn *net);

// Call after the parameters were written and before the next forward.
void nn_params_changed(struct nn *net);

// From IN, plain NCHW, to the output, plain NCHW, valid until the next forward. IN must stay as it is until after the backward.
const float *nn_forward(struct nn *net, const float *in);

// Back from DOUT, the loss's gradient at the output, for the last forward. LAYER_WEIGHTS: adds to GRADS. LAYER_INPUT: returns the
// gradient at the input, plain NCHW, valid until the next backward; else NULL.
const float *nn_backward(struct nn *net, const float *dout, int what);

// Binary cross entropy of sigmoid(LOGIT[i]) against TARGET (0 or 1), the mean of COUNT. Writes its gradient to DLOGIT and the mean
// probability to *PROBABILITY. It works on logits because log(sigmoid(x)) in float loses all at either end.
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
