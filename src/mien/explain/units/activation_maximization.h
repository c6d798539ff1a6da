#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include "mien/core/options.h"
#include "mien/core/progress.h"
#include "mien/network/network.h"
#include "mien/network/normalization.h"

namespace mien::explain {

/// Activation maximization: which input drives a filter, a unit or a class the most.
///
/// Everything happens in the network's input space, after normalization: a step of 0.1 is a tenth of the distance from
/// black to white for networks that read x/255. Regularizers, warps and the Fourier form measure from mid-gray, halfway
/// between the inputs that black and white become (see InputRange).
struct AscentOptions {
  std::string preset = "report";
  int64_t steps = 500;
  double rate = 0.1;
  double decay = 1;
  std::string optimizer = "plain";
  std::string normalize = "none";
  std::string objective = "mean";
  std::string start = "noise";
  double noise = 20.0 / 255.0;
  int64_t seed = 0;
  bool clamp = false;
  bool keep_best = false;
  double l2 = 0;
  double lp = 0;
  double lp_power = 6;
  double total_variation = 0;
  double tv_power = 2;
  double blur = 0;
  int64_t blur_every = 4;
  int64_t jitter = 0;
  double scale = 0;
  double rotate = 0;
  bool fourier = false;
  double fourier_decay = 1;
  int64_t snapshot_every = 0;
  int64_t batch_size = 16;  // measured: what a pass touches stays in the cache

  void bind(OptionSet& options);
};

/// Option values that belong together, by option name: "report", "report-e", "keras-blog", "keras-vis", "regularized",
/// "fourier". Throws Error(usage) with a suggestion for another name.
std::vector<std::pair<std::string, std::string>> ascent_preset(const std::string& name);
std::vector<std::string> ascent_preset_names();

/// Gives every ascent option that still has its default the value of the preset that `ascent-preset` names. Call it
/// when all other sources have been read.
void apply_ascent_preset(OptionSet& options);

/// The inputs that black (0) and white (255) become. For per-image normalization, which has no fixed ones, those of a
/// picture with FER2013's mean and deviation (0.507 and 0.255 of 255).
struct InputRange {
  double black = 0;
  double white = 1;
  double gray() const { return (black + white) / 2; }
  double span() const { return white - black; }
};
InputRange input_range(const network::Normalization& normalization);

/// Gray levels of network inputs, uint8 of the same shape: black 0, white 255, clipped and rounded.
at::Tensor to_levels(const at::Tensor& images, const InputRange& range);

/// Gray levels with the contrast pulled up, each image by itself: mean 127.5, deviation 25.5, clipped; uint8.
/// @source Chollet 2016, blog.keras.io "How convolutional neural networks see the world", deprocess_image
at::Tensor to_stretched_levels(const at::Tensor& images);

struct AscentTask {
  network::Network network;  ///< shared with the giver
  network::Normalization normalization;
  int layer = -1;              ///< whose output is maximized, any but the input; the last one's units are the classes
  std::vector<int64_t> units;  ///< channels of [C,H,W] outputs, else features; one image each, repetitions allowed
  /// [M,C,H,W] normalized faces: start `faces` takes one a unit (M = units, or 1 for all), start `mean-face` their
  /// mean.
  at::Tensor faces = {};
};

struct AscentResult {
  at::Tensor images;     ///< [N,C,H,W] float32, network input, one a unit
  at::Tensor starts;     ///< [N,C,H,W] where the ascent began
  at::Tensor objective;  ///< [N, steps + 1] float32, before each step (as warped for it) and of `images` (unwarped)
  at::Tensor snapshots;  ///< [S,N,C,H,W] after every `snapshot_every` steps; undefined for 0
  at::Tensor zero_gradient_steps;  ///< [N] int64: steps in which the objective's gradient was 0 everywhere (dead unit)
  InputRange range;                ///< for to_levels
};

/// Ascends for all units at once, at most options.batch_size images in one pass. The forward pass stops at the layer,
/// and of the layer itself (and of the channelwise layers between it and the nearest convolution) only the one channel
/// that an image climbs is computed. Same seed, same threads: the same bytes; an image depends on its unit, not on the
/// others in the batch, to rounding. Throws Error(usage) for a unit or layer that does not exist and for faces that do
/// not fit, Error(interrupted) when the user asks to stop.
/// @source Erhan et al. 2009; Simonyan et al. 2014, section 2; Olah et al. 2017 (transformations, Fourier form)
AscentResult maximize(const AscentTask& task,
                      const AscentOptions& options,
                      ProgressListener& listener = silent_listener());

/// The yardstick: the same ascent the way it is usually written, one unit after another, autograd through the whole
/// network, all channels of the layer. Plain steps only: throws Error(usage) if an option asks for more than steps,
/// rate, decay, objective, start, noise, seed and clamp.
AscentResult maximize_one_by_one(const AscentTask& task, const AscentOptions& options);

}  // namespace mien::explain
