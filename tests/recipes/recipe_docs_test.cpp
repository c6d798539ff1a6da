#include <algorithm>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/core/text.h"
#include "mien/figures/figure.h"

namespace mien::recipes {
namespace {

/// "|" would end a cell.
std::string cell(std::string text) {
  for (size_t at = text.find('|'); at != std::string::npos; at = text.find('|', at + 2)) text.replace(at, 1, "\\|");
  return text;
}

std::string row_of(const OptionSet::Entry& entry) {
  return fmt::format("| `{}` | {} | {} | {} |\n",
                     entry.spec.name,
                     cell(entry.spec.help),
                     cell(entry.expected()),
                     entry.default_text.empty() ? "" : "`" + entry.default_text + "`");
}

/// The tables of docs/recipes.md, from the declarations.
std::string reference() {
  std::string text;
  for (const std::string& kind : figures::figure_kinds()) {
    figures::Figure figure = figures::make_figure(kind);
    OptionSet options;
    figures::bind(figure, options);
    text += fmt::format("### {}\n\n| key | meaning | accepted | default |\n|---|---|---|---|\n", kind);
    std::vector<std::string> groups;
    for (const OptionSet::Entry& entry : options.entries()) {
      if (entry.group == "figure") {
        text += row_of(entry);
      } else if (std::find(groups.begin(), groups.end(), entry.group) == groups.end()) {
        groups.push_back(entry.group);
      }
    }
    if (!groups.empty()) text += fmt::format("\nAlso the keys of: {}.\n", join(groups, ", "));
    text += "\n";
  }
  return text;
}

TEST(RecipeReference, NamesEveryKeyOfEveryKindWithItsDefault) {
  const std::string page = read_text(std::filesystem::path(MIEN_SOURCE_FOLDER) / "docs" / "recipes.md");
  const std::string expected = reference();
  EXPECT_NE(page.find(expected), std::string::npos) << "the tables at the end of docs/recipes.md should be:\n"
                                                    << expected;
}

}  // namespace
}  // namespace mien::recipes
