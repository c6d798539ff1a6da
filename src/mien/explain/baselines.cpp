#include "mien/explain/baselines.h"

namespace mien::explain {

std::vector<MethodSpec> baseline_methods() { return {}; }

}  // namespace mien::explain
