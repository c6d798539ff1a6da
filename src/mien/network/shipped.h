#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mien::network {

/// Weights that come with the program.
struct ShippedModel {
  std::string name;               ///< "small"; stands wherever weights are named
  std::filesystem::path weights;  ///< NAME.safetensors
  std::filesystem::path card;     ///< NAME.md: what it was trained on, how well it does, what it is not for
};

/// Those in share/mien/models beside this program's folder (the build's or the installed one), else where Mien was to
/// be installed; by name. None where neither is there.
std::vector<ShippedModel> shipped_models();

/// The weights called `name`; nothing if none are.
std::optional<ShippedModel> find_shipped(const std::string& name);

/// `path`, or where nothing is there and `path` is the name of shipped weights, those.
std::filesystem::path with_shipped(const std::filesystem::path& path);

}  // namespace mien::network
