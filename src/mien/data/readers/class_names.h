#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mien::data {

/// FER2013's label of an expression's name: any case, its usual synonyms (anger, happiness, surprised, ...), a number
/// in front ("3_happy") passed over; nothing for other words.
std::optional<int32_t> expression_label(std::string_view word);

/// What labels mean, as the user says it (`--classes`).
class ClassNames {
 public:
  /// "fer2013", names in the order of the numbers from 0 ("neutral,happy,sad"), or numbers with names
  /// ("1=surprise,2=fear"). The seven expressions of FER2013 get FER2013's own names and order. Throws Error(usage).
  static ClassNames parse(std::string_view text);

  const std::vector<std::string>& names() const { return names_; }
  /// The label that a cell or a folder's name stands for: a number ("3", "3.0") or a name (any case, synonyms).
  std::optional<int32_t> label(std::string_view word) const;
  int64_t least_number() const { return of_number_.begin()->first; }
  int64_t largest_number() const { return of_number_.rbegin()->first; }
  /// "0 angry, 1 disgust, ..."
  std::string describe() const;

 private:
  std::vector<std::string> names_;
  std::map<int64_t, int32_t> of_number_;
};

}  // namespace mien::data
