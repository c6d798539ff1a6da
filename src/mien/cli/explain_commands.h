#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// `explain`, `methods`, and below `inside`: `weights`, `outputs`, `ascent`, `faces`, `units`.
std::vector<CommandSpec> explain_commands();

}  // namespace mien::cli
