#pragma once

#include <vector>

#include "mien/cli/command.h"

namespace mien::cli {

/// `data info`, `data check`, `data convert`, `data draw`, `data preview`.
std::vector<CommandSpec> data_commands();

}  // namespace mien::cli
