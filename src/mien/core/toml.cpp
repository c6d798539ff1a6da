#include "mien/core/toml.h"

#include <algorithm>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/core/toml_values.h"

namespace mien {
namespace {

std::string scalar_text(const toml::node& node, const std::string& where, std::string_view key) {
  if (const auto* value = node.as_boolean()) return value->get() ? "true" : "false";
  if (const auto* value = node.as_integer()) return std::to_string(value->get());
  if (const auto* value = node.as_floating_point()) return format_double(value->get());
  if (const auto* value = node.as_string()) return value->get();
  throw_usage(fmt::format(
      "{}: {} has a value of an unknown kind, expected text, a number, true, false or a list of texts", where, key));
}

}  // namespace

std::string toml_place(const std::string& file, const toml::source_region& region) {
  return fmt::format("{}:{}", file, region.begin.line);
}

toml::table parse_toml(std::string_view text, const std::string& file) {
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw_usage(fmt::format("{}: not valid TOML: {}", toml_place(file, error.source()), error.description()));
  }
}

std::string toml_value_text(const toml::node& node, const std::string& where, std::string_view key) {
  const auto* list = node.as_array();
  if (list == nullptr) return scalar_text(node, where, key);
  std::vector<std::string> items;
  for (const toml::node& item : *list) {
    items.push_back(scalar_text(item, where, key));
    if (items.back().find(',') != std::string::npos) {
      throw_usage(fmt::format(
          "{}: {} has the item {}, expected items without a comma", where, key, quote_sample(items.back())));
    }
  }
  return join(items, ",");
}

void set_from_toml(OptionSet& options,
                   std::string_view text,
                   const std::string& file,
                   Origin origin,
                   const std::vector<std::string>& skip_tables) {
  const toml::table root = parse_toml(text, file);
  std::vector<std::string> groups;
  for (const auto& entry : options.entries()) {
    if (std::find(groups.begin(), groups.end(), entry.group) == groups.end()) groups.push_back(entry.group);
  }
  const auto skipped = [&](std::string_view name) {
    return std::find(skip_tables.begin(), skip_tables.end(), name) != skip_tables.end();
  };
  const auto set = [&](const toml::key& key, const toml::node& node) {
    const std::string where = toml_place(file, key.source());
    options.set(key.str(), toml_value_text(node, where, key.str()), origin, where);
  };
  for (const auto& [key, node] : root) {
    if (skipped(key.str())) continue;
    const auto* table = node.as_table();
    if (table == nullptr) {
      set(key, node);
      continue;
    }
    const std::string group = options.current_group(key.str());
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) {
      if (const OptionSet::Entry* entry = options.find(key.str())) {
        throw_usage(fmt::format(
            "{}: {} is a table, expected {}", toml_place(file, key.source()), key.str(), entry->expected()));
      }
      throw_usage(fmt::format("{}: unknown table [{}]", toml_place(file, key.source()), key.str()),
                  suggestion(key.str(), groups));
    }
    for (const auto& [inner_key, inner_node] : *table) {
      const OptionSet::Entry* entry = options.find(inner_key.str());
      if (entry != nullptr && entry->group != group) {
        throw_usage(fmt::format("{}: {} stands in [{}], expected in [{}]",
                                toml_place(file, inner_key.source()),
                                inner_key.str(),
                                group,
                                entry->group));
      }
      set(inner_key, inner_node);
    }
  }
}

}  // namespace mien
