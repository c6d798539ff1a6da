#pragma once

#include <string>

#include "mien/core/options.h"

namespace mien::runs {

/// How a training is spread over processes and machines. Beside an experiment's options in a run's args.toml.
struct MachineOptions {
  bool sync_batch_norm = false;
  std::string shard;  ///< "2/4" or "slurm" (parse_shard); empty: all of it
  void bind(OptionSet& options);
};

}  // namespace mien::runs
