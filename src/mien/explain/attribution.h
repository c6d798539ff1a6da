#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/grad_mode.h>

#include "mien/network/network.h"

namespace mien::explain {

struct MethodOptions;

/// The number that is explained, for each image one.
enum class Score {
  logit,          ///< of the target class
  probability,    ///< softmax of the target class
  sum_of_logits,  ///< of all classes; the target does not matter. @source report E
};
std::string_view to_text(Score score);  // "logit", "probability", "sum"

/// Images and what is asked about them.
struct AttributionRequest {
  network::Network network;  ///< evaluated, shared with the giver; its parameters require no gradient (`frozen_copy`)
  at::Tensor images;         ///< [N,C,H,W] float32, normalized, N > 0
  at::Tensor targets;        ///< [N] int64, a class of each image
  Score score = Score::logit;
  at::Tensor black{};  ///< [N] float32: the input that a black pixel of each image becomes; undefined: 0, as of x/255
};

/// `request.black`, or zeros: [N] float32 on the CPU.
at::Tensor black_of(const AttributionRequest& request);

/// What a method says of each image.
struct Attributions {
  at::Tensor values;    ///< [N,H,W] float32, the input's size: relevance of each pixel, channels joined; unscaled
  at::Tensor channels;  ///< [N,C,H,W] float32 before channels were joined; undefined where the method has no channels
  at::Tensor
      at_layer;    ///< [N,h,w] float32, the map at the size of the layer it was read at; undefined for pixel methods
  int layer = -1;  ///< that layer; -1 for pixel methods
  /// For each image numbers that say how far the map can be trusted, by name: "convergence_error", "r2", ...;
  /// empty, or one entry an image.
  std::vector<std::map<std::string, double>> diagnostics;
  at::Tensor regions{};  ///< [N,H,W] int64, the region of each pixel, from 0; undefined for methods without regions
};

enum class Family { gradient, class_activation, perturbation, baseline };
std::string_view to_text(Family family);  // "gradient", "class activation", "perturbation", "baseline"

/// What a map's values are, which says when they are no more than rounding; see drop_rounding_noise.
enum class MapUnit : uint8_t {
  score,         ///< parts of the score, or of its difference to another
  slope,         ///< score per unit of the input
  slope_square,  ///< its square
  other,         ///< activations, mean scores, no score at all; the method sees to rounding by itself
};

/// One row of the method table: everything that help, `mien methods`, sidecars and reports say of a method.
struct MethodSpec {
  std::string name;  ///< kebab-case: "integrated-gradients"
  Family family = Family::gradient;
  std::string summary;       ///< one sentence, no full stop
  std::string cost;          ///< passes for one image: "1 forward, 1 backward", "lime-samples forward"
  std::string source;        ///< paper, with equation where there is one
  bool is_signed = false;    ///< maps have a sign: positive speaks for the target, negative against it
  bool reads_layer = false;  ///< looks at MethodOptions::layer
  bool is_random = false;    ///< depends on MethodOptions::seed
  MapUnit unit = MapUnit::other;
  /// Why the method is not defined for a network, as one line that goes on after "guided-backprop: "; empty if it is.
  std::function<std::string(const network::Graph&)> unsupported_reason;
  /// Attributions of a whole batch. Deterministic for the same seed, threads and batch. Splits its work into passes of
  /// at most MethodOptions::batch_size images. Throws Error(usage) where `unsupported_reason` is not empty or an option
  /// does not fit.
  std::function<Attributions(const AttributionRequest&, const MethodOptions&)> explain;
};

/// An independent copy whose parameters require no gradient, on which `backward` computes nothing for them.
network::Network frozen_copy(const network::Network& network);

/// The score of every image, [N] float32. Differentiable where at::GradMode is on.
at::Tensor score_of(const at::Tensor& logits, const at::Tensor& targets, Score score);

/// Gradient of the summed scores with respect to `request.images`, [N,C,H,W], and the logits, [N,K]: one forward and
/// one backward pass, in one piece (the caller splits batches).
struct InputGradient {
  at::Tensor gradient;
  at::Tensor logits;
};
InputGradient input_gradient(const AttributionRequest& request);

/// `request` with images [begin, end) only.
AttributionRequest slice(const AttributionRequest& request, int64_t begin, int64_t end);

/// [N,C,H,W] -> [N,H,W]: the sum over channels (signed relevance adds up).
at::Tensor sum_channels(const at::Tensor& values);
/// [N,C,H,W] -> [N,H,W]: the largest absolute value over channels. @source Simonyan et al. 2014, section 3.1
at::Tensor strongest_channel(const at::Tensor& values);

}  // namespace mien::explain
