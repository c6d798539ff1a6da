#pragma once

#include <string>

#include "mien/export/frozen.h"

namespace mien::exporting {

/// `network` as the bytes of a TorchScript file for `torch.jit.load` or libtorch: gray levels, uint8 or float [N,
/// channels, height, width], to logits [N, classes].
std::string torchscript_model(const FrozenNetwork& network);

}  // namespace mien::exporting
