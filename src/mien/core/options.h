#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace mien {

/// `common` options stand in `--help`; all others in `--help-all`.
enum class OptionLevel { common, advanced };

/// What another option of the same set must be for an option to have an effect.
struct OptionCondition {
  std::string option;  ///< name of the other option; a set without it fulfills the condition
  /// Its values, separated by commas ("sgd,rmsprop"; "fraction:*" is all that begin so). After a '!' those that it must
  /// not have ("!none"; "!" is any text but the empty one). Of a list, one item is enough.
  std::string values;
};

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
  std::vector<std::string> aliases = {};  ///< old names: accepted everywhere, shown nowhere
  OptionLevel level = OptionLevel::advanced;
  std::vector<OptionCondition> only_with = {};  ///< has no effect unless one of these holds; empty means always
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
    /// "with --opt sgd or rmsprop": when the option has an effect; empty if always.
    std::string conditions() const;
  };

  /// Names the group that following calls of add belong to (a TOML table, a heading of the help). Files may still use
  /// `old_name`.
  void group(std::string name, const std::string& old_name = {});
  /// Throws std::logic_error if the name or an alias is taken.
  void add(Field field, OptionSpec spec);
  /// Takes out an option that a command sets by itself; no-op if there is none of that name.
  void remove(std::string_view name);

  /// Sets one option from text (lists are comma-separated, so no item holds a comma). Throws Error(usage) with a
  /// suggestion if the name is unknown, and with the accepted range if the value is not of the option's kind or not
  /// UTF-8; the option keeps its value then. `detail` says where the text stood.
  void set(std::string_view name, std::string_view text, Origin origin, const std::string& detail);

  /// By name or alias; nullptr if there is none.
  const Entry* find(std::string_view name) const;
  /// The present name of a group, which may be given by an old one.
  std::string current_group(std::string_view name) const;
  const std::vector<Entry>& entries() const { return entries_; }
  std::vector<std::string> names() const;

  /// An option that was set but has no effect, and why: "--momentum has no effect with --optimizer adam".
  struct Unused {
    const Entry* entry;
    std::string reason;
    std::string hint;
  };
  /// Options of that origin whose `only_with` does not hold; of those from files, only the ones that are not the
  /// default.
  std::vector<Unused> unused(Origin origin) const;

  /// All options as TOML, one table a group; a comment gives origin of every non-default value, and the default.
  std::string to_toml() const;

 private:
  std::string group_;
  std::vector<Entry> entries_;
  std::map<std::string, size_t, std::less<>> index_;  ///< of names and aliases
  std::map<std::string, std::string, std::less<>> old_groups_;
};

}  // namespace mien
