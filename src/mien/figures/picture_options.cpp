#include "mien/figures/picture_options.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/text.h"

namespace mien::figures {
namespace {

/// "{row}, {class} or {method}"
std::string braced_list(const std::vector<std::string>& placeholders) {
  std::string text;
  for (size_t i = 0; i < placeholders.size(); ++i) {
    const char* between = i == 0 ? "" : i + 1 == placeholders.size() ? " or " : ", ";
    text += fmt::format("{}{{{}}}", between, placeholders[i]);
  }
  return text;
}

}  // namespace

void PictureOptions::bind(OptionSet& options, const std::vector<std::string>& placeholders) {
  options.group("figure");
  options.add(
      &file,
      {.name = "file",
       .help = fmt::format("name of the picture, ending in .png, .jpg, .svg or .pdf; {} in it {} one picture for each",
                           braced_list(placeholders),
                           placeholders.size() == 1 ? "gives" : "give")});
  options.add(&title, {.name = "title", .help = "title of the picture; the default says what is shown"});
  options.add(&caption,
              {.name = "caption",
               .help = "words in the picture: none (the pictures alone), short (title, names and color bar) or full",
               .choices = {"none", "short", "full"}});
  options.add(&formats,
              {.name = "format",
               .help = "write the picture in these formats too, beside that of the file's name",
               .choices = {"png", "jpg", "svg", "pdf"}});
}

void PictureOptions::check(const std::vector<std::string>& placeholders) const {
  const std::string ending = std::filesystem::path(file).extension().string();
  if (ending != ".png" && ending != ".jpg" && ending != ".svg" && ending != ".pdf")
    throw_usage(fmt::format("file is {}, expected a name ending in .png, .jpg, .svg or .pdf", quote_sample(file)));
  if (file.find("..") != std::string::npos || file.starts_with('/'))
    throw_usage(fmt::format("file is {}, expected a name below the folder of the pictures", quote_sample(file)));
  for (size_t open = file.find('{'); open != std::string::npos; open = file.find('{', open + 1)) {
    const size_t close = file.find('}', open);
    const std::string name = close == std::string::npos ? "" : file.substr(open + 1, close - open - 1);
    if (std::find(placeholders.begin(), placeholders.end(), name) != placeholders.end()) continue;
    const auto near = did_you_mean(name, placeholders);
    throw_usage(fmt::format("file is {}, which has {} where {} may stand",
                            quote_sample(file),
                            close == std::string::npos ? "a lone {" : "{" + name + "}",
                            braced_list(placeholders)),
                near ? fmt::format("did you mean {{{}}}?", *near) : "");
  }
}

OptionSpec face_option() {
  return {.name = "faces",
          .help =
              "faces to look at: rows:5,7-9, 0-5 (the first six), random:5, correct-per-class, wrong-per-class or "
              "most-confident-per-class (:COUNT for more), after all:, training:, validation: or test: for a part; "
              "a part alone for all its rows"};
}

OptionSpec part_option() {
  return {.name = "part", .help = "rows that are searched", .choices = {"all", "training", "validation", "test"}};
}

}  // namespace mien::figures
