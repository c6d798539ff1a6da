#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// The `bench` commands.
std::vector<CommandSpec> bench_commands();

}  // namespace mien::cli
