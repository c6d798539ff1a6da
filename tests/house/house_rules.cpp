#include "house/house_rules.h"

#include <algorithm>
#include <filesystem>
#include <regex>

#include <fmt/format.h>

#include "mien/core/files.h"
#include "mien/core/text.h"

namespace mien::house {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMostLines = 800;

struct Line {
  size_t number;
  std::string code;  ///< without a trailing // comment
};

std::vector<Line> code_lines(const std::string& text) {
  std::vector<Line> result;
  for (const std::string& line : split(text, '\n')) {
    result.push_back({result.size() + 1, line.substr(0, line.find("//"))});
  }
  return result;
}

struct Include {
  size_t line;
  std::string name;  ///< what stands between the quotes or brackets
};

std::vector<Include> includes_of(const SourceFile& file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*["<]([^">]+)[">])");
  std::vector<Include> result;
  for (const Line& line : code_lines(file.text)) {
    std::smatch match;
    if (std::regex_search(line.code, match, kInclude)) result.push_back({line.number, match[1]});
  }
  return result;
}

bool is_torch(const std::string& include) {
  return include.starts_with("torch/") || include.starts_with("ATen/") || include.starts_with("c10/");
}

std::string problem(const SourceFile& file, size_t line, const std::string& what) {
  return fmt::format("{}:{}: {}", file.path, line, what);
}

}  // namespace

std::string SourceFile::folder() const {
  const std::vector<std::string> parts = split(path, '/');
  return parts.size() > 3 && parts[0] == "src" && parts[1] == "mien" ? parts[2] : "";
}

std::vector<SourceFile> read_sources(const std::string& root, const std::vector<std::string>& folders) {
  std::vector<SourceFile> result;
  for (const std::string& folder : folders) {
    const fs::path top = fs::path(root) / folder;
    if (!fs::exists(top)) continue;
    for (const auto& entry : fs::recursive_directory_iterator(top, fs::directory_options::follow_directory_symlink)) {
      const fs::path& path = entry.path();
      if (!entry.is_regular_file() || (path.extension() != ".h" && path.extension() != ".cpp")) continue;
      result.push_back({path.lexically_relative(root).generic_string(), read_text(path)});
    }
  }
  std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.path < b.path; });
  return result;
}

Problems check_include_order(const SourceFile& file, const std::vector<std::string>& order) {
  const auto rank = [&](const std::string& folder) { return std::find(order.begin(), order.end(), folder); };
  Problems problems;
  if (file.folder().empty()) return problems;
  if (rank(file.folder()) == order.end()) {
    return {problem(file, 1, fmt::format("folder {} has no place in MIEN_FOLDERS", file.folder()))};
  }
  for (const Include& include : includes_of(file)) {
    const std::vector<std::string> parts = split(include.name, '/');
    if (parts.size() < 3 || parts[0] != "mien") continue;
    if (rank(parts[1]) > rank(file.folder())) {
      problems.push_back(problem(file,
                                 include.line,
                                 fmt::format("{} may include {} and what stands before it ({}), not {}",
                                             file.folder(),
                                             file.folder(),
                                             join(order, ", "),
                                             include.name)));
    }
  }
  return problems;
}

Problems check_heavy_includes(const SourceFile& file) {
  Problems problems;
  const bool public_header = file.is_header() && !file.folder().empty();
  const bool without_torch = file.folder() == "core" || file.folder() == "report";
  for (const Include& include : includes_of(file)) {
    const auto report = [&](std::string_view what) {
      problems.push_back(problem(file, include.line, fmt::format("<{}> {}", include.name, what)));
    };
    if (include.name == "torch/torch.h") {
      report("costs 20 s a file; <ATen/ATen.h> has the functions");
    } else if (without_torch && is_torch(include.name)) {
      report("has no place in a folder that does without torch");
    } else if (public_header && (include.name.starts_with("torch/") || include.name == "ATen/ATen.h")) {
      report("has no place in a header; <ATen/core/Tensor.h> declares the tensor");
    } else if (public_header && (include.name.starts_with("nlohmann/") || include.name.starts_with("CLI/") ||
                                 include.name == "httplib.h")) {
      report("belongs into a .cpp file");
    }
  }
  return problems;
}

Problems check_direct_includes(const SourceFile& file) {
  static const std::pair<std::regex, std::string> kOwners[] = {
      {std::regex(R"(fmt::join\()"), "fmt/ranges.h"},
      {std::regex(R"(std::(sort|stable_sort|find|find_if|count|count_if|any_of|all_of|none_of|min_element|max_element|)"
                  R"(transform|copy|copy_n|fill|fill_n|reverse|unique|max|min|clamp|nth_element|lower_bound|)"
                  R"(upper_bound|is_sorted|rotate)\()"),
       "algorithm"},
  };
  Problems problems;
  const std::vector<Include> includes = includes_of(file);
  for (const auto& [used, owner] : kOwners) {
    const auto has_owner = [&owner = owner](const Include& include) { return include.name == owner; };
    if (std::any_of(includes.begin(), includes.end(), has_owner)) continue;
    for (const Line& line : code_lines(file.text)) {
      std::smatch match;
      if (!std::regex_search(line.code, match, used)) continue;
      problems.push_back(
          problem(file, line.number, fmt::format("uses {}...), so it includes <{}>", match.str(), owner)));
      break;
    }
  }
  return problems;
}

Problems check_length(const SourceFile& file) {
  const auto lines = static_cast<size_t>(std::count(file.text.begin(), file.text.end(), '\n'));
  if (lines <= kMostLines) return {};
  return {problem(file, lines, fmt::format("{} lines, expected at most {}", lines, kMostLines))};
}

Problems check_library_manners(const SourceFile& file) {
  static const std::regex kPrints(
      R"(std::(?:cout|cerr|clog)\b(?!\.(?:rdbuf|clear)\b)|std::(printf|puts|exit|quick_exit|abort)\b|\bfmt::print\b|\b(f?printf|puts|exit|_exit|abort)\()");
  static const std::regex kRandom(
      R"(std::(mt19937|random_device|minstd_rand|default_random_engine)|\bs?rand\(|\b(at|torch)::(rand|randn|randint|randperm|bernoulli|normal|manual_seed)\w*\()");
  Problems problems;
  if (file.folder().empty()) return problems;
  for (const Line& line : code_lines(file.text)) {
    std::smatch match;
    if (file.folder() != "cli" && std::regex_search(line.code, match, kPrints)) {
      problems.push_back(
          problem(file,
                  line.number,
                  match.str() + " belongs to src/mien/cli: the library throws and calls a ProgressListener"));
    }
    if (std::regex_search(line.code, match, kRandom)) {
      problems.push_back(problem(file, line.number, match.str() + " cannot be repeated: draw from mien::RandomStream"));
    }
  }
  return problems;
}

Problems check_header_form(const SourceFile& file) {
  if (!file.is_header() || file.folder().empty()) return {};
  Problems problems;
  if (!file.text.starts_with("#pragma once\n")) problems.push_back(problem(file, 1, "expected #pragma once"));
  if (file.text.find("///") == std::string::npos)
    problems.push_back(problem(file, 1, "nothing in it is described (///)"));
  return problems;
}

std::vector<std::string> files_that_include(const std::vector<SourceFile>& files, const std::string& prefix) {
  std::vector<std::string> result;
  for (const SourceFile& file : files) {
    const auto found = includes_of(file);
    if (std::any_of(found.begin(), found.end(), [&](const Include& i) { return i.name.starts_with(prefix); })) {
      result.push_back(file.path);
    }
  }
  return result;
}

}  // namespace mien::house
