#pragma once

#include <string>

namespace mien::serve {

/// Schemas of everything that the API answers, by name, as a JSON object.
std::string answer_schemas();

}  // namespace mien::serve
