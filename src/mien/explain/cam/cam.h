#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// Options of the class activation methods.
struct CamOptions {
  /// What takes the place of a channel that ablation-cam removes: "package" or "zero" (see cam_methods).
  std::string ablation_value = "package";

  void bind(OptionSet& options);
};

/// cam, grad-cam, grad-cam++, grad-cam-elementwise, xgrad-cam, hires-cam, layer-cam, eigen-cam, eigengrad-cam,
/// score-cam, ablation-cam, grad-cam-keras-vis.
///
/// All but cam (whose maps have a sign) and grad-cam-keras-vis (scaled to [0, 1]) give maps of numbers >= 0:
/// Attributions::at_layer at the layer's size, Attributions::values resized bilinearly, as pytorch-grad-cam before it
/// scales them. Images of a batch do not influence each other. Two choices follow pytorch-grad-cam where a paper leaves
/// or makes another one:
/// - eigen-cam and eigengrad-cam take the principal component with the sign that LAPACK's dgesdd gives it;
/// - ablation-cam (ablation_value "package") removes a channel by zeros only if the layer's least value is 0, as after
///   ReLU. Elsewhere it writes 1e7 below the least value, and the next of each 32 channels 1e7 below that, so that
///   weights grow with a channel's place among its 32. "zero" is the paper's definition for every layer.
/// @source jacobgil/pytorch-grad-cam, base_cam.py, utils/svd_on_activations.py, ablation_layer.py
std::vector<MethodSpec> cam_methods();

/// The layer that keras-vis' visualize_cam looks at by default: the nearest convolution or (not global) pooling before
/// the last layer and the one before that; -1 if there is none.
/// @source keras-vis, visualization/saliency.py, _find_penultimate_layer
int keras_vis_layer(const network::Graph& graph);

/// [out, in] float64: what scipy.ndimage.zoom (cubic spline, mirrored at the borders, end points on end points)
/// multiplies a row of `in` values by to make `out`, both > 0. @source Unser, Aldroubi, Eden 1993, "B-spline signal
/// processing"
at::Tensor cubic_zoom_matrix(int64_t out, int64_t in);

}  // namespace mien::explain
