#include "mien/data/readers/class_names.h"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"
#include "mien/data/dataset.h"

namespace mien::data {
namespace {

constexpr std::array<std::pair<std::string_view, int32_t>, 34> kExpressions{{
    {"angry", 0},   {"anger", 0},     {"angriness", 0},  {"an", 0},         {"disgust", 1},   {"disgusted", 1},
    {"di", 1},      {"fear", 2},      {"fearful", 2},    {"afraid", 2},     {"scared", 2},    {"fe", 2},
    {"happy", 3},   {"happiness", 3}, {"joy", 3},        {"joyful", 3},     {"ha", 3},        {"sad", 4},
    {"sadness", 4}, {"sorrow", 4},    {"sa", 4},         {"surprise", 5},   {"surprised", 5}, {"astonished", 5},
    {"su", 5},      {"suprise", 5},   {"neutral", 6},    {"neutrality", 6}, {"calm", 6},      {"ne", 6},
    {"smile", 3},   {"smiling", 3},   {"no emotion", 6}, {"noemotion", 6},
}};

/// A whole number, also written as "3.0".
std::optional<int64_t> whole_number(std::string_view word) {
  if (const auto value = parse_int(word)) return value;
  const auto value = parse_double(word);
  if (!value || std::abs(*value) > 1e6 || *value != std::floor(*value)) return std::nullopt;
  return static_cast<int64_t>(*value);
}

}  // namespace

std::optional<int32_t> expression_label(std::string_view word) {
  std::string name = lower(trim(word));
  size_t at = 0;
  while (at < name.size() && name[at] >= '0' && name[at] <= '9') ++at;
  const size_t letters = name.find_first_not_of("._- ", at);
  if (at > 0 && letters != name.npos && letters > at) name.erase(0, letters);
  for (const auto& [known, label] : kExpressions) {
    if (known == name) return label;
  }
  return std::nullopt;
}

ClassNames ClassNames::parse(std::string_view text) {
  ClassNames classes;
  if (lower(trim(text)) == "fer2013") text = "angry,disgust,fear,happy,sad,surprise,neutral";
  const auto fail = [&](const std::string& why) {
    throw_usage(fmt::format("cannot take the classes {}: {}", quote_sample(text, 80), why),
                "--classes NAME,NAME,... in the order of the numbers from 0, or NUMBER=NAME,..., or fer2013");
  };
  std::vector<std::pair<int64_t, std::string>> given;
  for (const std::string& part : split(text, ',')) {
    const size_t equals = part.find('=');
    std::optional<int64_t> number = static_cast<int64_t>(given.size());
    if (equals != part.npos) number = parse_int(trim(std::string_view(part).substr(0, equals)));
    const std::string name(trim(std::string_view(part).substr(equals == part.npos ? 0 : equals + 1)));
    if (!number || *number < 0) fail("a number before = is not whole");
    if (name.empty() || !is_utf8(name)) fail("a name is empty or not UTF-8");
    given.emplace_back(number.value_or(0), name);
  }
  if (given.size() < 2) fail("there are fewer than two");
  const bool is_fer = given.size() == kExpressionNames.size() && std::all_of(given.begin(), given.end(), [](auto& g) {
                        return expression_label(g.second).has_value();
                      });
  if (is_fer) {
    classes.names_.assign(kExpressionNames.begin(), kExpressionNames.end());
  } else {
    for (const auto& [number, name] : given) classes.names_.push_back(name);
  }
  std::vector<int32_t> seen;
  for (size_t i = 0; i < given.size(); ++i) {
    const int32_t label = is_fer ? *expression_label(given[i].second) : static_cast<int32_t>(i);
    if (!classes.of_number_.emplace(given[i].first, label).second) fail("a number stands twice");
    if (std::find(seen.begin(), seen.end(), label) != seen.end()) fail("a class stands twice");
    seen.push_back(label);
  }
  for (size_t i = 0; i < classes.names_.size(); ++i) {
    if (classes.label(classes.names_[i]) != static_cast<int32_t>(i)) fail("a class stands twice");
  }
  return classes;
}

std::optional<int32_t> ClassNames::label(std::string_view word) const {
  if (word.size() == 1 && word[0] >= '0' && word[0] <= '9') {  // nearly every cell of a csv
    const auto found = of_number_.find(word[0] - '0');
    return found == of_number_.end() ? std::nullopt : std::optional(found->second);
  }
  if (const auto number = whole_number(trim(word))) {
    const auto found = of_number_.find(*number);
    return found == of_number_.end() ? std::nullopt : std::optional(found->second);
  }
  const std::string name = lower(trim(word));
  for (size_t i = 0; i < names_.size(); ++i) {
    if (lower(names_[i]) == name) return static_cast<int32_t>(i);
  }
  const auto expression = expression_label(word);
  for (size_t i = 0; expression && i < names_.size(); ++i) {
    if (expression_label(names_[i]) == expression) return static_cast<int32_t>(i);
  }
  return std::nullopt;
}

std::string ClassNames::describe() const {
  std::vector<std::string> parts;
  for (const auto& [number, label] : of_number_) {
    parts.push_back(fmt::format("{} {}", number, names_[static_cast<size_t>(label)]));
  }
  return join(parts, ", ");
}

}  // namespace mien::data
