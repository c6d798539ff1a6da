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

constexpr int kMostKeyParts = 16;
constexpr size_t kMostNested = 100;

/// Looks at TOML text before toml++ does, which builds and destroys tables recursively: one level for each part of a
/// dotted key, without a limit. Also finds line breaks inside { }, for which toml++ has no words. Mistakes beyond that
/// (an unfinished text, a bracket that closes another) are left to toml++, which stops at them.
class TomlGuard {
 public:
  TomlGuard(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void check() {
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"' || c == '\'') {
        skip_text(c);
        continue;
      }
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
        continue;
      }
      if (c == '\n') end_line();
      if (c == '.' && ++dots_ >= kMostKeyParts) {
        fail(fmt::format("a key has more than {} parts", kMostKeyParts), "a part is what stands between two dots");
      }
      if (std::string_view("=,[]{}\n").find(c) != std::string_view::npos) dots_ = 0;
      if (c == '[' || c == '{') open(c);
      if ((c == ']' || c == '}') && !open_.empty()) open_.pop_back();
      ++at_;
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what, const std::string& hint) const {
    throw_usage(fmt::format("{}:{}: {}", file_, line_, what), hint);
  }

  void open(char bracket) {
    open_.push_back(bracket);
    if (open_.size() <= kMostNested) return;
    fail(fmt::format("not valid TOML: more than {} lists and tables stand inside each other", kMostNested),
         "close each [ and { before the next one opens");
  }

  void end_line() {
    if (!open_.empty() && open_.back() == '{') {
      fail("not valid TOML: the line ends inside { }",
           "write a table in one line: { ... }; between the brackets of a list, [ ... ], lines may end anywhere");
    }
    ++line_;
  }

  /// Steps over a text in quotes. One line unless the quotes stand three in a row; only "..." has escapes.
  void skip_text(char quote) {
    const std::string three(3, quote);
    const bool is_long = text_.substr(at_, 3) == three;
    at_ += is_long ? 3 : 1;
    for (; at_ < text_.size(); ++at_) {
      if (quote == '"' && text_[at_] == '\\') {
        ++at_;
        if (at_ < text_.size() && text_[at_] == '\n') ++line_;
      } else if (text_[at_] == '\n') {
        if (!is_long) return;
        ++line_;
      } else if (is_long ? text_.substr(at_, 3) == three : text_[at_] == quote) {
        at_ += is_long ? 3 : 1;
        while (is_long && at_ < text_.size() && text_[at_] == quote) ++at_;  // up to two quotes belong to the text
        return;
      }
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int line_ = 1;
  int dots_ = 0;  ///< since the last character that ends a key
  std::string open_;
};

}  // namespace

std::string toml_place(const std::string& file, const toml::source_region& region) {
  return fmt::format("{}:{}", file, std::max<uint64_t>(1, region.begin.line));
}

toml::table parse_toml(std::string_view text, const std::string& file, size_t most_bytes) {
  if (text.size() > most_bytes) {
    throw_usage(fmt::format("{}:1: the file has {} bytes, expected at most {}",
                            file,
                            with_commas(static_cast<int64_t>(text.size())),
                            with_commas(static_cast<int64_t>(most_bytes))),
                "is it another file than you meant?");
  }
  TomlGuard(text, file).check();
  try {
    return toml::parse(text, file);
  } catch (const toml::parse_error& error) {
    throw_usage(fmt::format("{}: not valid TOML: {}", toml_place(file, error.source()), error.description()),
                "texts stand in quotes, a list in [ ] with commas between its items, a table in { } in one line");
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
