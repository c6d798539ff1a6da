#pragma once

#include <string>

namespace mien::serve {

/// The API as an OpenAPI 3.1 document; the options of explanations are read from their declarations.
std::string openapi_json();

}  // namespace mien::serve
