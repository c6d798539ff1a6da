#include "mien/explain/perturbation.h"

namespace mien::explain {

void PerturbationOptions::bind(OptionSet& options) { options.group("explain"); }

std::vector<MethodSpec> perturbation_methods() { return {}; }

}  // namespace mien::explain
