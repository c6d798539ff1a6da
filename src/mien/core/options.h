#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mien {

/// Everything a person needs to know of one option, declared once, beside the field that holds it. Flags, help,
/// recipe and config keys, run records and docs/cli.md are all read from it.
struct OptionSpec {
  std::string name;                       ///< kebab-case; the flag without its dashes and the key in TOML
  std::string help;                       ///< one sentence, no full stop
  std::string unit = {};                  ///< "epochs", "minutes"; empty where there is none
  std::optional<double> minimum = {};     ///< inclusive, for numbers
  std::optional<double> maximum = {};     ///< inclusive, for numbers
  std::vector<std::string> choices = {};  ///< allowed texts; empty means any
  std::string source = {};                ///< where the default or the formula comes from
};

/// Where an option's value came from; later origins overrule earlier ones.
enum class Origin { default_value, recipe, config_file, command_line };
std::string_view to_text(Origin origin);

/// An option set from outside: a flag, or a key of a config file.
struct Override {
  std::string name;
  std::string text;
  Origin origin = Origin::command_line;
  std::string detail;  ///< "--epochs 3"
};

/// Named references to the fields of option structs. A struct declares its fields in `void bind(OptionSet&)`.
/// The set must not outlive the structs it refers to.
class OptionSet {
 public:
  using Field = std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*>;

  struct Entry {
    std::string group;
    OptionSpec spec;
    Field field;
    std::string default_text;
    Origin origin = Origin::default_value;
    std::string origin_detail = {};  ///< "recipes/demo.toml:12", "--epochs 3"

    bool is_flag() const { return std::holds_alternative<bool*>(field); }
    /// Current value as `set` would read it back.
    std::string text() const;
    /// Current value as a TOML value.
    std::string toml() const;
    /// "whole number", "number", "text", ... with range, unit or choices, for help and messages.
    std::string expected() const;
  };

  /// Names the group that following calls of add belong to (a TOML table, a heading of the help).
  void group(std::string name) { group_ = std::move(name); }
  /// Throws std::logic_error if the name is taken.
  void add(Field field, OptionSpec spec);

  /// Sets one option from text (lists are comma-separated, so no item holds a comma). Throws Error(usage) with a
  /// suggestion if the name is unknown, and with the accepted range if the value is not of the option's kind or not
  /// UTF-8; the option keeps its value then. `detail` says where the text stood.
  void set(std::string_view name, std::string_view text, Origin origin, const std::string& detail);

  const Entry* find(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<std::string> names() const;

  /// All options as TOML, one table a group; a comment gives origin of every non-default value, and the default.
  std::string to_toml() const;

 private:
  std::string group_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> index_;
};

}  // namespace mien
