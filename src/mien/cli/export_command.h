#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// The command that writes weights in other programs' formats.
std::vector<CommandSpec> export_commands();

}  // namespace mien::cli
