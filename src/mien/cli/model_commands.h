#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// `sweep`, `audit`, `calibrate`, `pack`, `models`.
std::vector<CommandSpec> model_commands();

}  // namespace mien::cli
