#include "mien/explain/cam.h"

namespace mien::explain {

void CamOptions::bind(OptionSet& options) { options.group("explain"); }

std::vector<MethodSpec> cam_methods() { return {}; }

}  // namespace mien::explain
