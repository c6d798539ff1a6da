#include "mien/ranks/place.h"

#include <algorithm>
#include <array>
#include <cstdlib>

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include "mien/core/error.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"

namespace mien::ranks {
namespace {

struct Launcher {
  const char* name;
  const char* rank;
  const char* size;
  const char* on_host;
};

constexpr std::array kLaunchers{
    Launcher{"torchrun", "RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"},
    Launcher{"mpirun", "OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE"},
    Launcher{"mpiexec", "PMI_RANK", "PMI_SIZE", "MPI_LOCALNRANKS"},
    Launcher{"srun", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_TASKS_PER_NODE"}};

int64_t number(const Variables& variables, const std::string& name, int64_t low, int64_t high) {
  const std::string text = variables(name).value_or("");
  const auto value = parse_int(text);
  if (!value || *value < low || *value > high)
    throw_usage(
        fmt::format("{} is \"{}\" in the environment, expected a whole number from {} to {}", name, text, low, high),
        "unset it to compute in one process, or start all ranks through torchrun, mpirun or srun");
  return *value;
}

/// "a[03-07,9],b" -> "a03": Slurm's first host.
std::string first_host(const std::string& hosts) {
  const size_t bracket = hosts.find_first_of("[,");
  if (bracket == std::string::npos || hosts[bracket] == ',') return hosts.substr(0, bracket);
  const size_t end = hosts.find_first_of(",-]", bracket);
  return hosts.substr(0, bracket) + hosts.substr(bracket + 1, end - bracket - 1);
}

/// "123.0;tcp://10.0.0.5,172.17.0.1:4711" -> "10.0.0.5": where OpenMPI's mpirun runs.
std::string mpirun_host(const std::string& uri) {
  const size_t begin = uri.find("//");
  if (begin == std::string::npos) return "";
  return uri.substr(begin + 2, uri.find_first_of(",:;", begin + 2) - begin - 2);
}

std::string address_of(const Variables& variables, const Place& place) {
  if (const auto address = variables("MASTER_ADDR"); address && !address->empty()) return *address;
  if (place.processes_on_host == place.size) return "127.0.0.1";
  if (place.launcher == "srun") {
    if (const auto hosts = variables("SLURM_STEP_NODELIST")) return first_host(*hosts);
  }
  if (place.launcher == "mpirun") {
    for (const char* name : {"PMIX_SERVER_URI3", "OMPI_MCA_orte_hnp_uri"}) {
      if (const std::string host = mpirun_host(variables(name).value_or("")); !host.empty() && host != "127.0.0.1")
        return host;
    }
  }
  throw_usage(
      fmt::format(
          "{} says that there are {} ranks, but nothing says on which host rank 0 is", place.launcher, place.size),
      "set MASTER_ADDR to its name or address for all ranks (mpirun -x MASTER_ADDR=...)");
}

/// Two jobs on one host need two ports: what names the job chooses among 20,000.
uint16_t port_of(const Variables& variables) {
  if (variables("MASTER_PORT")) {
    const int64_t port = number(variables, "MASTER_PORT", 1, 65534);
    // torchrun's own agent listens there.
    return static_cast<uint16_t>(variables("TORCHELASTIC_USE_AGENT_STORE") == "True" ? port + 1 : port);
  }
  std::string job;
  for (const char* name : {"SLURM_JOB_ID", "SLURM_STEP_ID", "PMIX_NAMESPACE", "OMPI_MCA_ess_base_jobid", "PMI_PORT"})
    job += variables(name).value_or("") + "/";
  return static_cast<uint16_t>(20000 + hash64(job) % 12000);
}

}  // namespace

std::optional<std::string> process_variable(const std::string& name) {
  const char* const value = std::getenv(name.c_str());
  return value == nullptr ? std::nullopt : std::optional<std::string>(value);
}

int threads_of_one(int processes) {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  const int online = static_cast<int>(::sysconf(_SC_NPROCESSORS_ONLN));
  const int usable = ::sched_getaffinity(0, sizeof allowed, &allowed) == 0 ? CPU_COUNT(&allowed) : online;
  return std::max(1, usable < online ? usable : usable / std::max(1, processes));
}

std::optional<Place> place_from(const Variables& variables) {
  for (const Launcher& launcher : kLaunchers) {
    if (!variables(launcher.rank) || !variables(launcher.size)) continue;
    Place place{.launcher = launcher.name};
    place.size = static_cast<int>(number(variables, launcher.size, 1, 65536));
    place.rank = static_cast<int>(number(variables, launcher.rank, 0, place.size - 1));
    // Slurm writes "4" or "2(x3),1"; an uneven layout stays unknown.
    const std::string on_host = variables(launcher.on_host).value_or("");
    place.processes_on_host = static_cast<int>(parse_int(on_host.substr(0, on_host.find('('))).value_or(0));
    if (place.size == 1) return std::nullopt;
    place.address = address_of(variables, place);
    place.port = port_of(variables);
    return place;
  }
  return std::nullopt;
}

}  // namespace mien::ranks
