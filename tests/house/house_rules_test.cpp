// Rules of the house that no compiler checks. Each is tried on the whole repository and on a text that breaks it.
#include "house/house_rules.h"

#include <algorithm>
#include <filesystem>
#include <regex>

#include <gtest/gtest.h>

#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::house {
namespace {

const std::vector<std::string> kOrder = split(MIEN_FOLDERS, ' ');

const std::vector<SourceFile>& sources() {
  static const std::vector<SourceFile> files = read_sources(MIEN_SOURCE_DIR, {"src", "tests", "bench"});
  return files;
}

template <class Rule>
Problems problems_of_repository(Rule rule) {
  EXPECT_GT(sources().size(), 20u) << "the sources were not found";
  Problems all;
  for (const SourceFile& file : sources()) {
    for (const std::string& problem : rule(file)) all.push_back(problem);
  }
  return all;
}

void expect_none(const Problems& problems) { EXPECT_TRUE(problems.empty()) << join(problems, "\n"); }

TEST(IncludeOrder, IsKept) {
  expect_none(problems_of_repository([](const SourceFile& file) { return check_include_order(file, kOrder); }));
}

TEST(IncludeOrder, FindsAFolderThatLooksUp) {
  const std::string text = "#include <vector>\n#include \"mien/core/text.h\"\n#include \"mien/runs/run_folder.h\"\n";
  const Problems problems = check_include_order({"src/mien/data/a.cpp", text}, kOrder);
  ASSERT_EQ(problems.size(), 1u);
  EXPECT_TRUE(problems[0].starts_with("src/mien/data/a.cpp:3: data may include")) << problems[0];
  expect_none(check_include_order({"src/mien/runs/a.cpp", text}, kOrder));
}

TEST(IncludeOrder, FindsAFolderWithoutAPlace) {
  EXPECT_EQ(check_include_order({"src/mien/extra/a.cpp", ""}, kOrder).size(), 1u);
  EXPECT_EQ(check_include_order({"src/mien/runs/a.cpp", "#include \"mien/extra/a.h\"\n"}, kOrder).size(), 1u);
}

TEST(HeavyIncludes, StayOutOfHeaders) { expect_none(problems_of_repository(check_heavy_includes)); }

TEST(HeavyIncludes, AreFound) {
  const auto count = [](const std::string& path, const std::string& include) {
    return check_heavy_includes({path, "#pragma once\n#include <" + include + ">\n"}).size();
  };
  EXPECT_EQ(count("src/mien/network/a.h", "ATen/ATen.h"), 1u);
  EXPECT_EQ(count("src/mien/network/a.h", "ATen/core/Tensor.h"), 0u);
  EXPECT_EQ(count("src/mien/network/a.cpp", "ATen/ATen.h"), 0u);
  EXPECT_EQ(count("src/mien/network/a.cpp", "torch/torch.h"), 1u);
  EXPECT_EQ(count("src/mien/core/a.cpp", "ATen/core/Tensor.h"), 1u);
  EXPECT_EQ(count("src/mien/runs/a.h", "nlohmann/json.hpp"), 1u);
  EXPECT_EQ(count("src/mien/runs/a.cpp", "nlohmann/json.hpp"), 0u);
}

TEST(DirectIncludes, AreThereForWhatNewerCompilersAndLibrariesAskFor) {
  expect_none(problems_of_repository(check_direct_includes));
}

TEST(DirectIncludes, AreMissed) {
  EXPECT_EQ(check_direct_includes({"src/mien/data/a.cpp", "auto a = std::max(1, 2);\n"}).size(), 1u);
  EXPECT_EQ(check_direct_includes({"src/mien/data/a.cpp", "#include <algorithm>\nauto a = std::max(1, 2);\n"}).size(),
            0u);
  const std::string joins = std::string("#include <fmt/format.h>\nauto a = fmt::") + "join(b, c);\n";
  EXPECT_EQ(check_direct_includes({"src/mien/data/a.cpp", joins}).size(), 1u);
}

TEST(CommandLineLibrary, IsIncludedByOneFileAtMost) {
  const auto files = files_that_include(sources(), "CLI/");
  EXPECT_LE(files.size(), 1u) << join(files, "\n");
  EXPECT_EQ(files_that_include({{"a.cpp", "#include <CLI/CLI.hpp>\n"}, {"b.cpp", "// CLI/\n"}}, "CLI/").size(), 1u);
}

TEST(FileLength, IsAtMost800Lines) {
  expect_none(problems_of_repository(check_length));
  std::string text;
  for (int i = 0; i < 800; ++i) text += "\n";
  expect_none(check_length({"a.cpp", text}));
  EXPECT_EQ(check_length({"a.cpp", text + "\n"}).size(), 1u);
}

TEST(Library, NeitherPrintsNorExitsNorRollsItsOwnDice) { expect_none(problems_of_repository(check_library_manners)); }

TEST(Library, IsCaughtPrintingExitingAndRollingDice) {
  for (const char* code : {"std::cout << x;",
                           "  std::exit(1);",
                           "printf(\"x\");",
                           "fmt::print(\"x\");",
                           "std::mt19937 g;",
                           "auto x = at::randn({3});",
                           "at::manual_seed(1);",
                           "int x = rand();"}) {
    EXPECT_EQ(check_library_manners({"src/mien/data/a.cpp", code}).size(), 1u) << code;
  }
  for (const char* code : {"// std::cout << x;", "fmt::format(\"x\");", "snprintf(b, 3, \"x\");", "grand(x);"}) {
    expect_none(check_library_manners({"src/mien/data/a.cpp", code}));
  }
  expect_none(check_library_manners({"src/mien/cli/main.cpp", "std::cout << x;"}));
}

TEST(Headers, AreIncludedOnceAndDescribed) {
  expect_none(problems_of_repository(check_header_form));
  EXPECT_EQ(check_header_form({"src/mien/core/a.h", "int f();\n"}).size(), 2u);
}

TEST(SourceFiles, AreAllBuilt) {
  Problems unbuilt;
  for (const SourceFile& file : sources()) {
    const std::filesystem::path path = std::filesystem::path(MIEN_SOURCE_DIR) / file.path;
    std::filesystem::path list = path.parent_path() / "CMakeLists.txt";
    if (file.is_header()) continue;
    if (!std::filesystem::exists(list)) list = path.parent_path().parent_path() / "CMakeLists.txt";
    if (!std::filesystem::exists(list)) continue;
    const std::regex name("(^|[^\\w.-])" + std::regex_replace(path.filename().string(), std::regex("\\."), "\\.") +
                          "\\b");
    if (!std::regex_search(read_text(list), name))
      unbuilt.push_back(file.path + ":1: is not in its folder's CMakeLists.txt");
  }
  expect_none(unbuilt);
}

TEST(ArchitecturePage, ListsTheFoldersInDependencyOrder) {
  const std::string page = read_text(std::string(MIEN_SOURCE_DIR) + "/docs/architecture.md");
  static const std::regex kRow(R"(\n\| `src/mien/(\w+)/`)");
  std::vector<std::string> listed;
  for (auto row = std::sregex_iterator(page.begin(), page.end(), kRow); row != std::sregex_iterator(); ++row) {
    listed.push_back((*row)[1]);
  }
  EXPECT_EQ(listed, kOrder);
}

TEST(ArchitecturePage, NamesOnlyFilesThatExist) {
  const std::string root = std::string(MIEN_SOURCE_DIR) + "/";
  static const std::regex kRow(R"(^\| `(src/mien/\w+/)`.*\|(.*)\|$)");
  static const std::regex kFile(R"(`([\w./]+\.h)`)");
  size_t named = 0;
  for (const std::string& line : split(read_text(root + "docs/architecture.md"), '\n')) {
    std::smatch row;
    if (!std::regex_match(line, row, kRow)) continue;
    const std::string files = row[2];
    for (auto file = std::sregex_iterator(files.begin(), files.end(), kFile); file != std::sregex_iterator();
         ++file, ++named) {
      const std::string path = row[1].str() + (*file)[1].str();
      EXPECT_TRUE(std::filesystem::exists(root + path)) << path;
    }
  }
  EXPECT_GT(named, 10u) << "the table was not found";
}

}  // namespace
}  // namespace mien::house
