#include "mien/explain/attribution.h"

#include <stdexcept>

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "mien/core/error.h"

namespace mien::explain {

std::string_view to_text(Score score) {
  switch (score) {
    case Score::logit:
      return "logit";
    case Score::probability:
      return "probability";
    case Score::sum_of_logits:
      return "sum";
  }
  return "";
}

std::string_view to_text(Family family) {
  switch (family) {
    case Family::gradient:
      return "gradient";
    case Family::class_activation:
      return "class activation";
    case Family::perturbation:
      return "perturbation";
    case Family::baseline:
      return "baseline";
  }
  return "";
}

network::Network frozen_copy(const network::Network& network) {
  network::Network copy = network.clone();
  for (at::Tensor tensor : copy.tensors()) tensor.requires_grad_(false);
  return copy;
}

at::Tensor score_of(const at::Tensor& logits, const at::Tensor& targets, Score score) {
  if (score == Score::sum_of_logits) return logits.sum(1);
  const at::Tensor values = score == Score::probability ? at::softmax(logits, 1) : logits;
  return values.gather(1, targets.unsqueeze(1)).squeeze(1);
}

InputGradient input_gradient(const AttributionRequest& request) {
  const at::AutoGradMode with_gradient(true);
  const at::Tensor images = request.images.detach().set_requires_grad(true);
  const at::Tensor logits = request.network.forward(images, network::Mode::evaluation);
  const at::Tensor total = score_of(logits, request.targets, request.score).sum();
  return {.gradient = torch::autograd::grad({total}, {images}).front(), .logits = logits.detach()};
}

AttributionRequest slice(const AttributionRequest& request, int64_t begin, int64_t end) {
  return {.network = request.network,
          .images = request.images.slice(0, begin, end),
          .targets = request.targets.slice(0, begin, end),
          .score = request.score,
          .black = request.black.defined() ? request.black.slice(0, begin, end) : at::Tensor()};
}

at::Tensor black_of(const AttributionRequest& request) {
  if (!request.black.defined()) return at::zeros({request.images.size(0)}, at::kFloat);
  if (request.black.dim() != 1 || request.black.size(0) != request.images.size(0)) {
    throw std::logic_error("a request's black levels are not one an image");
  }
  return request.black.to(at::kCPU, at::kFloat).contiguous();
}

at::Tensor sum_channels(const at::Tensor& values) { return values.sum(1); }

at::Tensor strongest_channel(const at::Tensor& values) { return values.abs().amax(1); }

}  // namespace mien::explain
