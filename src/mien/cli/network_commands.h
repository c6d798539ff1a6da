#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// The `networks` commands.
std::vector<CommandSpec> network_commands();

}  // namespace mien::cli
