#pragma once

#include <vector>

#include "mien/explain/attribution.h"

namespace mien::explain {

/// Attributions that know nothing of the network, which every method has to beat: random, gaussian (a blob at the
/// center), sobel (edges of the image).
std::vector<MethodSpec> baseline_methods();

}  // namespace mien::explain
