#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace mien::ranks {

/// Where this process stands among those that one launcher started together.
struct Place {
  int rank = 0;               ///< in [0, size)
  int size = 1;               ///< processes in all
  std::string launcher;       ///< "torchrun", "mpirun", "mpiexec" or "srun"
  std::string address;        ///< host name or address where rank 0 is reached
  uint16_t port = 0;          ///< where rank 0 listens there
  int processes_on_host = 0;  ///< 0: unknown
};

/// The value of an environment variable; nothing where it is not set.
using Variables = std::function<std::optional<std::string>(const std::string& name)>;

/// This process's own environment.
std::optional<std::string> process_variable(const std::string& name);

/// Reads what torchrun (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT), OpenMPI's mpirun (OMPI_COMM_WORLD_RANK, _SIZE),
/// other MPIs' mpiexec (PMI_RANK, PMI_SIZE) or srun (SLURM_PROCID, SLURM_STEP_NUM_TASKS) has put into the environment;
/// nothing for a process that was started alone. MASTER_ADDR and MASTER_PORT overrule what the others say. The body of
/// an sbatch script is no rank: only srun starts ranks. Throws Error(usage) for values that are none.
std::optional<Place> place_from(const Variables& variables = process_variable);

/// Threads for one of `processes` that compute on this machine at a time: its share of the cores that it may use, which
/// are few where a launcher has bound it to some.
int threads_of_one(int processes);

}  // namespace mien::ranks
