#include "mien/core/options.h"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien {
namespace {

template <class... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};
template <class... Ts>
Overloaded(Ts...) -> Overloaded<Ts...>;

std::string toml_string(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + "\"";
}

std::string range_text(const OptionSpec& spec) {
  if (spec.minimum && spec.maximum) {
    return fmt::format("{} to {}", format_double(*spec.minimum), format_double(*spec.maximum));
  }
  if (spec.minimum) return fmt::format("at least {}", format_double(*spec.minimum));
  if (spec.maximum) return fmt::format("at most {}", format_double(*spec.maximum));
  return "";
}

bool in_range(const OptionSpec& spec, double value) {
  return !(spec.minimum && value < *spec.minimum) && !(spec.maximum && value > *spec.maximum);
}

/// One line, so that nothing in it ends a TOML comment early.
std::string comment_text(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  return text;
}

bool is_choice(const OptionSpec& spec, const std::string& value) {
  return spec.choices.empty() || std::find(spec.choices.begin(), spec.choices.end(), value) != spec.choices.end();
}

/// Whether `text` is one of the comma-separated `values`, of which one that ends in '*' stands for all that begin so.
bool is_listed(std::string_view text, std::string_view values) {
  const std::vector<std::string> listed = split(values, ',');
  return std::any_of(listed.begin(), listed.end(), [&](std::string_view value) {
    return value.ends_with('*') ? text.starts_with(value.substr(0, value.size() - 1)) : text == value;
  });
}

/// Whether a condition's `values` allow the option's value; of a list, any of its items.
bool fulfills(const OptionSet::Entry& option, std::string_view values) {
  const bool excludes = values.starts_with('!');
  if (excludes) values.remove_prefix(1);
  std::vector<std::string> items{option.text()};
  if (const auto* list = std::get_if<std::vector<std::string>*>(&option.field); list != nullptr && !(*list)->empty())
    items = **list;
  return std::any_of(
      items.begin(), items.end(), [&](const std::string& item) { return is_listed(item, values) != excludes; });
}

/// "with --optimizer sgd or rmsprop", "unless --validation is none".
std::string condition_text(const OptionCondition& condition) {
  std::string_view values = condition.values;
  if (values == "true" || values == "!") return fmt::format("with --{}", condition.option);
  const bool excludes = values.starts_with('!');
  if (excludes) values.remove_prefix(1);
  std::vector<std::string> listed = split(values, ',');
  for (std::string& value : listed) {
    if (value.ends_with('*')) value.replace(value.size() - 1, 1, "...");
  }
  const std::string any = join(listed, " or ");
  return excludes ? fmt::format("unless --{} is {}", condition.option, any)
                  : fmt::format("with --{} {}", condition.option, any);
}

/// "with --optimizer adam", "without --mixup".
std::string state_text(const OptionSet::Entry& option) {
  if (option.is_flag()) return fmt::format("{} --{}", option.text() == "true" ? "with" : "without", option.spec.name);
  if (option.text().empty()) return "without --" + option.spec.name;
  return fmt::format("with --{} {}", option.spec.name, option.text());
}

}  // namespace

std::string_view to_text(Origin origin) {
  switch (origin) {
    case Origin::default_value:
      return "default";
    case Origin::recipe:
      return "recipe";
    case Origin::config_file:
      return "config file";
    case Origin::command_line:
      return "command line";
  }
  return "";
}

std::string OptionSet::Entry::text() const {
  return std::visit(Overloaded{[](const bool* value) { return std::string(*value ? "true" : "false"); },
                               [](const int64_t* value) { return std::to_string(*value); },
                               [](const double* value) { return format_double(*value); },
                               [](const std::string* value) { return *value; },
                               [](const std::vector<std::string>* value) { return join(*value, ","); }},
                    field);
}

std::string OptionSet::Entry::toml() const {
  return std::visit(Overloaded{[](const std::string* value) { return toml_string(*value); },
                               [](const std::vector<std::string>* value) {
                                 std::vector<std::string> quoted;
                                 for (const std::string& item : *value) quoted.push_back(toml_string(item));
                                 return "[" + join(quoted, ", ") + "]";
                               },
                               [](const double* value) {
                                 std::string number = format_double(*value);
                                 if (number.find_first_of(".en") == std::string::npos) number += ".0";
                                 return number;
                               },
                               [this](const auto*) { return text(); }},
                    field);
}

std::string OptionSet::Entry::expected() const {
  std::string kind = std::visit(Overloaded{[](const bool*) { return "true or false"; },
                                           [](const int64_t*) { return "whole number"; },
                                           [](const double*) { return "number"; },
                                           [](const std::string*) { return "text"; },
                                           [](const std::vector<std::string>*) { return "list"; }},
                                field);
  if (!spec.choices.empty()) {
    const bool is_list = std::holds_alternative<std::vector<std::string>*>(field);
    return (is_list ? "a list of: " : "one of: ") + join(spec.choices, ", ");
  }
  const std::string range = range_text(spec);
  if (!range.empty()) kind += ", " + range;
  if (!spec.unit.empty()) kind += ", in " + spec.unit;
  return kind;
}

std::string OptionSet::Entry::conditions() const {
  std::vector<std::string> texts;
  for (const OptionCondition& condition : spec.only_with) texts.push_back(condition_text(condition));
  return join(texts, " or ");
}

void OptionSet::group(std::string name, const std::string& old_name) {
  if (!old_name.empty()) old_groups_[old_name] = name;
  group_ = std::move(name);
}

std::string OptionSet::current_group(std::string_view name) const {
  const auto found = old_groups_.find(name);
  return found == old_groups_.end() ? std::string(name) : found->second;
}

void OptionSet::add(Field field, OptionSpec spec) {
  std::vector<std::string> names = spec.aliases;
  names.push_back(spec.name);
  for (const std::string& name : names) {
    if (!index_.emplace(name, entries_.size()).second) throw std::logic_error("option declared twice: " + name);
  }
  Entry entry{.group = group_, .spec = std::move(spec), .field = field, .default_text = {}};
  entry.default_text = entry.text();
  entries_.push_back(std::move(entry));
}

void OptionSet::remove(std::string_view name) {
  const auto found = index_.find(name);
  if (found == index_.end()) return;
  const size_t position = found->second;
  std::erase_if(index_, [&](const auto& item) { return item.second == position; });
  for (auto& [key, place] : index_) place -= place > position ? 1 : 0;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(position));
}

void OptionSet::set(std::string_view name, std::string_view text, Origin origin, const std::string& detail) {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    throw_usage(fmt::format("{}: unknown option '{}'", detail, name), suggestion(name, names()));
  }
  Entry& entry = entries_[found->second];
  const auto reject = [&](std::string_view value) {
    std::string hint;
    if (!entry.spec.choices.empty()) {
      if (const auto near = did_you_mean(value, entry.spec.choices)) hint = fmt::format("did you mean '{}'?", *near);
    }
    throw_usage(
        fmt::format("{}: {} is {}, expected {}", detail, entry.spec.name, quote_sample(value), entry.expected()), hint);
  };
  std::visit(Overloaded{[&](bool* value) {
                          if (text == "true") {
                            *value = true;
                          } else if (text == "false") {
                            *value = false;
                          } else {
                            reject(text);
                          }
                        },
                        [&](int64_t* value) {
                          const auto number = parse_int(text);
                          if (!number || !in_range(entry.spec, static_cast<double>(*number))) reject(text);
                          *value = *number;
                        },
                        [&](double* value) {
                          const auto number = parse_double(text);
                          if (!number || !in_range(entry.spec, *number)) reject(text);
                          *value = *number;
                        },
                        [&](std::string* value) {
                          if (!is_choice(entry.spec, std::string(text)) || !is_utf8(text)) reject(text);
                          *value = text;
                        },
                        [&](std::vector<std::string>* value) {
                          std::vector<std::string> items;
                          if (!text.empty()) {
                            for (const std::string& item : split(text, ',')) items.emplace_back(trim(item));
                          }
                          for (const std::string& item : items) {
                            if (item.empty() || !is_utf8(item)) reject(text);
                            if (!is_choice(entry.spec, item)) reject(item);
                          }
                          *value = std::move(items);
                        }},
             entry.field);
  entry.origin = origin;
  entry.origin_detail = detail;
}

const OptionSet::Entry* OptionSet::find(std::string_view name) const {
  const auto found = index_.find(name);
  return found == index_.end() ? nullptr : &entries_[found->second];
}

std::vector<OptionSet::Unused> OptionSet::unused(Origin origin) const {
  std::vector<Unused> result;
  for (const Entry& entry : entries_) {
    const auto& conditions = entry.spec.only_with;
    // A config file may list all options as they are.
    const bool is_plain = origin != Origin::command_line && entry.text() == entry.default_text;
    if (entry.origin != origin || conditions.empty() || is_plain) continue;
    const bool has_effect = std::any_of(conditions.begin(), conditions.end(), [&](const OptionCondition& condition) {
      const Entry* other = find(condition.option);
      return other == nullptr || fulfills(*other, condition.values);
    });
    if (has_effect) continue;
    result.push_back(
        {&entry,
         fmt::format("--{} has no effect {}", entry.spec.name, state_text(*find(conditions.front().option))),
         fmt::format("it is used only {}; set that, or leave --{} out", entry.conditions(), entry.spec.name)});
  }
  return result;
}

std::vector<std::string> OptionSet::names() const {
  std::vector<std::string> result;
  for (const Entry& entry : entries_) result.push_back(entry.spec.name);
  return result;
}

std::string OptionSet::to_toml() const {
  std::vector<std::string> groups;  // a TOML table may stand only once, however the options were declared
  for (const Entry& entry : entries_) {
    if (std::find(groups.begin(), groups.end(), entry.group) == groups.end()) groups.push_back(entry.group);
  }
  std::stable_partition(groups.begin(), groups.end(), [](const std::string& group) { return group.empty(); });
  std::string out;
  for (const std::string& group : groups) {
    if (!group.empty()) out += fmt::format("{}[{}]\n", out.empty() ? "" : "\n", group);
    for (const Entry& entry : entries_) {
      if (entry.group != group) continue;
      out += fmt::format("{} = {}", entry.spec.name, entry.toml());
      if (entry.origin != Origin::default_value) {
        out += comment_text(fmt::format("  # {}: {} (default {})",
                                        to_text(entry.origin),
                                        entry.origin_detail,
                                        entry.default_text.empty() ? "empty" : entry.default_text));
      }
      out += '\n';
    }
  }
  return out;
}

}  // namespace mien
