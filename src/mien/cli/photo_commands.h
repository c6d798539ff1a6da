#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// `photo`, `watch`.
std::vector<CommandSpec> photo_commands();
/// `data crop`.
CommandSpec crop_command();

}  // namespace mien::cli
