#include "mien/explain/gradients.h"

namespace mien::explain {

void GradientOptions::bind(OptionSet& options) { options.group("explain"); }

std::vector<MethodSpec> gradient_methods() { return {}; }

}  // namespace mien::explain
