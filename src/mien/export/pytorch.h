#pragma once

#include <string>

#include "mien/export/frozen.h"

namespace mien::exporting {

/// A Python module that needs torch alone: the network as an nn.Module whose layers and state dict have the names of
/// Mien's weights, `load(path)`, which reads them from the safetensors file beside it, and `forward` from gray levels,
/// uint8 or float [N, channels, height, width], to logits [N, classes].
std::string pytorch_module(const FrozenNetwork& network);

}  // namespace mien::exporting
