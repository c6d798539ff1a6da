#include "mien/data/load.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <vector>

#include <fmt/format.h>

#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/hash.h"
#include "mien/core/text.h"
#include "mien/data/corrections.h"
#include "mien/data/readers/csv_reader.h"
#include "mien/data/readers/ferplus.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/data/readers/folder_reader.h"
#include "mien/data/split.h"
#include "mien/data/synthetic/drawn_faces.h"

namespace mien::data {
namespace {

constexpr int64_t kMostDrawn = 10'000'000;

/// COUNT of "drawn:COUNT", 0 for "drawn"; nothing for a path.
std::optional<int64_t> drawn_count(const std::string& data) {
  if (data == "drawn") return 0;
  if (!data.starts_with("drawn:")) return std::nullopt;
  const auto count = parse_int(std::string_view(data).substr(6));
  if (!count || *count < 1 || *count > kMostDrawn) {
    throw_usage(
        fmt::format("data is {}, expected drawn:COUNT with a count from 1 to {}", quote_sample(data), kMostDrawn));
  }
  return count;
}

/// Whether `data` is one picture: by its first bytes, or by its name where a csv would not bear it.
bool is_picture(const std::string& data) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(data, ignored) && is_picture_file(data);
}

Dataset draw(int64_t count, const DataOptions& options) {
  DrawOptions draw_options;
  draw_options.draw_seed = options.data_seed;
  draw_options.side = options.image_side;
  if (count == 0) return draw_faces(draw_options);
  const auto classes = static_cast<int64_t>(kExpressionNames.size());
  draw_options.count_per_class = (count + classes - 1) / classes;
  Dataset faces = draw_faces(draw_options);
  if (faces.size() == count) return faces;
  std::vector<int64_t> rows;
  for (int64_t row = 0; row < count; ++row) rows.push_back(row);
  return faces.subset(rows);
}

Dataset keep_fraction(Dataset dataset, const DataOptions& options) {
  std::vector<int64_t> kept;
  std::vector<int64_t> divided;
  for (int64_t row = 0; row < dataset.size(); ++row) {
    const Usage usage = dataset.usages[static_cast<size_t>(row)];
    const bool may_train = usage == Usage::training || usage == Usage::unknown;
    const bool labeled = dataset.labels[static_cast<size_t>(row)] != kUnlabeled;
    (may_train && labeled ? divided : kept).push_back(row);
  }
  const auto part =
      stratified_part(dataset, divided, options.fraction, static_cast<uint64_t>(options.data_seed), "data fraction");
  kept.insert(kept.end(), part.begin(), part.end());
  std::sort(kept.begin(), kept.end());
  if (kept.empty()) {
    throw_bad_data(fmt::format(
        "a fraction of {} of the {} rows of {} leaves none", options.fraction, dataset.size(), dataset.source));
  }
  return dataset.subset(kept);
}

}  // namespace

void DataOptions::bind(OptionSet& options) {
  options.group("data");
  options.add(&data,
              {.name = "data",
               .help = "faces: a csv file, a folder of class folders, drawn (2,800 faces), or drawn:COUNT faces of all "
                       "classes together",
               .level = OptionLevel::common});
  options.add(&fraction,
              {.name = "fraction",
               .help = "part of the training rows to keep, drawn from every class in proportion",
               .minimum = 1e-6,
               .maximum = 1,
               .level = OptionLevel::common});
  bind_ferplus(options);
  options.add(
      &corrections,
      {.name = "corrections",
       .help = "csv with columns row and label that replaces labels, or with the label drop leaves rows out, as "
               "`mien audit` writes it"});
  bind_reading(options);
  options.add(&drop_leaks,
              {.name = "drop-leaks", .help = "leave out training rows with an exact copy in validation or test"});
  options.add(&image_side,
              {.name = "image-side",
               .help = "side to which pictures of a folder are resized, and drawn faces are drawn",
               .unit = "pixels",
               .minimum = 8,
               .maximum = 1024});
  options.add(&data_seed,
              {.name = "data-seed",
               .help = "seed of drawn faces and of the rows --fraction keeps",
               .minimum = 0,
               .only_with = {{"data", "drawn*"}, {"fraction", "!1"}}});
}

void DataOptions::bind_ferplus(OptionSet& options) {
  options.add(&ferplus,
              {.name = "ferplus",
               .help = "file of FER+ votes (fer2013new.csv) that replace the labels of FER2013",
               .source = "Barsoum et al. 2016, arXiv:1608.01041"});
  options.add(&ferplus_labels,
              {.name = "ferplus-labels",
               .help = "what FER+ votes become: the majority's label, or the distribution of the votes",
               .choices = {"majority", "distribution"},
               .source = "Barsoum et al. 2016, arXiv:1608.01041, section 3",
               .only_with = {{"ferplus", "!"}}});
}

void DataOptions::bind_reading(OptionSet& options) {
  options.add(&skip_bad_rows,
              {.name = "skip-bad-rows", .help = "skip unreadable rows and pictures instead of stopping"});
  options.add(&classes,
              {.name = "classes",
               .help = "what labels and numbered class folders mean: NAME,NAME,... from 0 on, NUMBER=NAME,..., or "
                       "fer2013; empty takes FER2013's numbers in a csv and the names of class folders"});
  options.add(&find_faces,
              {.name = "find-faces",
               .help = "pictures of a folder are photographs: crop the largest face of each, and leave out those that "
                       "show none"});
  faces.bind(options, {{"find-faces", "true"}});
  crop.bind(options, {{"find-faces", "true"}});
  options.add(
      &label_column,
      {.name = "label-column", .help = "csv column that holds the labels; empty finds it, none: there is none"});
}

std::optional<FaceCropping> DataOptions::cropping() const {
  if (!find_faces) return std::nullopt;
  return FaceCropping{.find = faces, .crop = crop.resolve(crop_of_weights, faces.detector_name())};
}

Dataset load(const DataOptions& options, ProgressListener& listener) {
  if (options.data.empty()) {
    throw_usage("no data is named",
                "--data FILE.csv, --data FOLDER with one folder of pictures a class, or --data drawn");
  }
  Dataset dataset;
  int64_t rows_in_file = 0;
  std::error_code ignored;
  if (const auto count = drawn_count(options.data)) {
    dataset = draw(*count, options);
  } else if (std::filesystem::is_directory(options.data, ignored) || is_picture(options.data)) {
    dataset = read_folder(options.data,
                          {.skip_bad_images = options.skip_bad_rows,
                           .side = options.image_side,
                           .channels = options.channels,
                           .classes = options.classes,
                           .faces = options.cropping(),
                           .labels = options.labels},
                          listener);
  } else {
    dataset = read_csv(options.data,
                       {.skip_bad_rows = options.skip_bad_rows,
                        .classes = options.classes,
                        .label_column = options.label_column,
                        .labels = options.labels},
                       listener,
                       &rows_in_file);
  }
  dataset.source_checksum = dataset.checksum;
  const auto mark = [&dataset](const std::string& what) { dataset.checksum = checksum(dataset.checksum + what); };
  if (!options.ferplus.empty()) {
    apply_ferplus(dataset, options.ferplus, ferplus_mode(options.ferplus_labels), listener, rows_in_file);
    mark(fmt::format("FER+ {} {}", options.ferplus_labels, checksum(FileCopy(options.ferplus).text())));
    dataset.label_source = "FER+ " + options.ferplus_labels;
  }
  if (!options.corrections.empty()) {
    apply_corrections(dataset, options.corrections, listener);
    mark("corrections " + checksum(FileCopy(options.corrections).text()));
    dataset.label_source += dataset.label_source.empty() ? "corrected" : ", corrected";
  }
  if (options.fraction < 1) {
    dataset = keep_fraction(std::move(dataset), options);
    mark(fmt::format("fraction {} seed {}", options.fraction, options.data_seed));
  }
  return dataset;
}

}  // namespace mien::data
