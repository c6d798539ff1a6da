#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// `import`.
std::vector<CommandSpec> import_commands();

}  // namespace mien::cli
