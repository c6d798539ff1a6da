#pragma once

#include <vector>

#include "mien/core/options.h"
#include "mien/explain/attribution.h"

namespace mien::explain {

/// Options of the class activation methods.
struct CamOptions {
  void bind(OptionSet& options);
};

/// cam, grad-cam, grad-cam++, xgrad-cam, hires-cam, layer-cam, eigen-cam, eigengrad-cam, score-cam, ablation-cam,
/// grad-cam-keras-vis.
std::vector<MethodSpec> cam_methods();

}  // namespace mien::explain
