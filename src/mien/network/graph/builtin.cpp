#include <algorithm>
#include <filesystem>
#include <span>

#include <fmt/format.h>

#include "mien/core/embedded.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/network/graph/graph.h"

namespace mien {
std::span<const EmbeddedFile> networks_files();  // written by mien_embed
}

namespace mien::network {
namespace {

constexpr uint64_t kMostFileBytes = 1 << 20;

/// Report E's network is VGG with a given number of convolutions a group; its plain name means the smallest.
constexpr std::pair<std::string_view, std::string_view> kAlias{"vgg48", "vgg48-a"};

const EmbeddedFile* find_builtin(std::string_view name) {
  if (name == kAlias.first) name = kAlias.second;
  for (const EmbeddedFile& file : networks_files()) {
    if (file.name == name) return &file;
  }
  return nullptr;
}

}  // namespace

Graph load_graph(const std::string& name_or_path) {
  if (const EmbeddedFile* file = find_builtin(name_or_path)) {
    return parse_graph(file->text, fmt::format("networks/{}.toml", file->name));
  }
  std::error_code ignored;
  if (std::filesystem::is_regular_file(name_or_path, ignored)) {
    return parse_graph(read_text(name_or_path, kMostFileBytes), name_or_path);
  }
  std::vector<std::string> names;
  for (const EmbeddedFile& file : networks_files()) names.emplace_back(file.name);
  const bool is_path = name_or_path.find('/') != std::string::npos || name_or_path.ends_with(".toml");
  throw_usage(fmt::format("cannot load network {}: {}",
                          quote_sample(name_or_path, 200),
                          is_path ? "there is no such file" : "it is neither a built-in network nor a file"),
              suggestion(name_or_path, names));
}

std::vector<BuiltinNetwork> builtin_networks() {
  std::vector<BuiltinNetwork> networks;
  for (const EmbeddedFile& file : networks_files()) {
    const std::string name(file.name);
    networks.push_back({name, load_graph(name).source});
  }
  return networks;
}

}  // namespace mien::network
