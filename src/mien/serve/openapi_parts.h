#pragma once

#include <string>

#include <nlohmann/json.hpp>

namespace mien::serve {

/// A reference to a schema of the document.
nlohmann::ordered_json reference(const std::string& name);

/// Schemas of everything that the API answers, by name.
nlohmann::ordered_json answer_schemas();

}  // namespace mien::serve
