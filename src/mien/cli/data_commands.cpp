#include "mien/cli/data_commands.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "mien/cli/photo_commands.h"
#include "mien/core/error.h"
#include "mien/core/files.h"
#include "mien/core/outputs.h"
#include "mien/core/text.h"
#include "mien/data/augmentation.h"
#include "mien/data/csv_writer.h"
#include "mien/data/leak_check.h"
#include "mien/data/load.h"
#include "mien/data/readers/folder_layout.h"
#include "mien/data/readers/image_io.h"
#include "mien/data/split.h"
#include "mien/data/synthetic/drawn_faces.h"
#include "mien/report/canvas.h"
#include "mien/report/gallery.h"
#include "mien/runs/data_pictures.h"

namespace mien::cli {
namespace {

using nlohmann::ordered_json;

/// One line; bytes of a path that are not UTF-8 are replaced.
std::string line_of(const ordered_json& json) {
  return json.dump(-1, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

/// A data set named by a word, with the data options. A csv needs neither libtorch nor OpenCV.
template <class Self>
class DataCommand : public ComputingCommand<Self> {
 public:
  void bind(OptionSet& options) override {
    data_.bind(options);
    for (const char* other : {"data", "drop-leaks"}) options.remove(other);  // the word names it; nothing is split
  }
  std::vector<Positional> positionals() override {
    return {{"path", "a csv, a folder of class folders, or drawn:COUNT", &path_}};
  }
  int run(const Call& call) override {
    std::error_code ignored;
    const bool has_pictures = std::filesystem::is_directory(path_, ignored) || data::is_picture_file(path_);
    return has_pictures ? ComputingCommand<Self>::run(call) : static_cast<Self*>(this)->compute(call);
  }

 protected:
  data::Dataset load(const Call& call) {
    data_.data = path_;
    return data::load(data_, call.terminal);
  }
  /// Before anything is read: `out` can be written, and is none of the files that are read.
  void check_out(const std::string& out) const {
    check_output(out, std::vector<std::filesystem::path>{path_, data_.ferplus}, "out");
  }
  data::DataOptions data_;
  std::string path_;
};

class InfoCommand final : public DataCommand<InfoCommand> {
 public:
  void bind(OptionSet& options) override {
    DataCommand::bind(options);
    options.group("info");
    options.add(&pictures_,
                {.name = "pictures-in",
                 .help = "folder to write classes.png (counts) and examples.png (a face of each class) into"});
  }
  int run(const Call& call) override {
    return pictures_.empty() ? DataCommand::run(call) : ComputingCommand::run(call);
  }
  int compute(const Call& call) {
    const data::Dataset faces = load(call);
    if (!pictures_.empty()) runs::write_data_pictures(faces, pictures_);
    ordered_json classes = ordered_json::object();
    for (size_t c = 0; c < faces.class_names.size(); ++c) {
      classes[faces.class_names[c]] = std::count(faces.labels.begin(), faces.labels.end(), static_cast<int32_t>(c));
    }
    call.terminal.result(fmt::format("{}: {} faces of {}x{} pixels, checksum {}\n\n{}",
                                     faces.source,
                                     with_commas(faces.size()),
                                     faces.height,
                                     faces.width,
                                     faces.checksum,
                                     data::class_table(faces)),
                         line_of({{"source", faces.source},
                                  {"rows", faces.size()},
                                  {"height", faces.height},
                                  {"width", faces.width},
                                  {"checksum", faces.checksum},
                                  {"classes", classes}}));
    return 0;
  }

 private:
  std::string pictures_;
};

class CheckCommand final : public DataCommand<CheckCommand> {
 public:
  void bind(OptionSet& options) override {
    DataCommand::bind(options);
    split_.bind(options);
    leaks_.bind(options);
    options.group("check");
    options.add(
        &with_,
        {.name = "with", .help = "another csv to check against, such as test.csv; its rows count as test rows"});
  }
  int compute(const Call& call) {
    data::Dataset faces = load(call);
    data::Split split = data::make_split(faces, split_);
    if (!with_.empty()) {
      data::DataOptions other_options = data_;
      other_options.data = with_;
      const data::Dataset other = data::load(other_options, call.terminal);
      const int64_t first = faces.size();
      faces = data::concatenate(faces, other);
      for (int64_t row = first; row < faces.size(); ++row) split.test.push_back(row);
    }
    const data::LeakReport report = data::check_leaks(faces, &split, leaks_);
    call.terminal.result(fmt::format("{}\n{}{}",
                                     split.description,
                                     report.table(faces),
                                     report.clean() ? "no leak between the parts\n" : report.line() + "\n"),
                         line_of({{"images", report.images},
                                  {"distinct", report.distinct},
                                  {"copy_groups", report.copies.size()},
                                  {"conflicting_groups", report.conflicting.size()},
                                  {"near_copies", report.near_copies.size()},
                                  {"constant", report.constant.size()},
                                  {"leaking_training", report.leaking_training.size()},
                                  {"near_leaking_training", report.near_leaking_training.size()},
                                  {"validation_in_training", report.validation_in_training.size()},
                                  {"test_in_training", report.test_in_training.size()}}));
    return 0;
  }

 private:
  data::SplitOptions split_;
  data::LeakOptions leaks_;
  std::string with_;
};

class ConvertCommand final : public DataCommand<ConvertCommand> {
 public:
  void bind(OptionSet& options) override {
    DataCommand::bind(options);
    options.group("convert");
    options.add(&style_,
                {.name = "style",
                 .help = "header and spelling of the csv",
                 .choices = {"fer2013", "kaggle-train", "kaggle-test", "course-train", "course-test"}});
    options.add(&may_replace_, {.name = "exist-ok", .help = "replace the csv if it exists"});
  }
  std::vector<Positional> positionals() override {
    auto words = DataCommand::positionals();
    words.push_back({"out", "csv to write", &out_});
    return words;
  }
  int compute(const Call& call) {
    check_out(out_);
    check_new_output(out_, may_replace_);
    const data::Dataset faces = load(call);
    data::write_csv(faces, out_, data::csv_style(style_));
    call.terminal.result(fmt::format("{} faces in {}", with_commas(faces.size()), out_),
                         line_of({{"rows", faces.size()}, {"file", out_}}));
    return 0;
  }

 private:
  std::string out_;
  std::string style_ = "fer2013";
  bool may_replace_ = false;
};

class DrawCommand final : public ComputingCommand<DrawCommand> {
 public:
  void bind(OptionSet& options) override {
    draw_.bind(options);
    options.group("out");
    options.add(
        &pictures_,
        {.name = "pictures",
         .help =
             "also write one png a face into pictures/CLASS, which can be read as data, and its mask into evidence"});
    options.add(&may_replace_, {.name = "exist-ok", .help = "replace faces.csv and the pictures if they exist"});
  }
  std::vector<Positional> positionals() override {
    return {{"out", "folder to write faces.csv and preview.png into", &out_}};
  }
  int compute(const Call& call) {
    const std::filesystem::path folder = out_;
    check_output_folder(folder, "out");
    check_new_output(folder / "faces.csv", may_replace_);
    const data::Dataset faces = data::draw_faces(draw_);
    data::write_csv(faces, folder / "faces.csv");
    const std::string csv = (folder / "faces.csv").string();
    std::string text = fmt::format("{} faces in {}", with_commas(faces.size()), csv);
    if (report::can_draw()) {
      write_preview(faces, folder / "preview.png");
      text += fmt::format(", some of them in {}", (folder / "preview.png").string());
    }
    if (pictures_) {
      for (int64_t row = 0; row < faces.size(); ++row) {
        const auto class_folder =
            folder / "pictures" / faces.class_names[static_cast<size_t>(faces.labels[static_cast<size_t>(row)])];
        data::write_png_gray(
            class_folder / fmt::format("{:06d}.png", row), faces.image(row), faces.height, faces.width);
        const auto plane = static_cast<size_t>(faces.height * faces.width);
        data::write_png_gray(folder / "evidence" / fmt::format("{:06d}.png", row),
                             std::span(faces.evidence).subspan(static_cast<size_t>(row) * plane, plane),
                             faces.height,
                             faces.width);
      }
    }
    call.terminal.result(text, line_of({{"rows", faces.size()}, {"file", csv}}));
    return 0;
  }

 private:
  /// A row of faces a class, every second one with its evidence.
  void write_preview(const data::Dataset& faces, const std::filesystem::path& file) const {
    std::vector<report::Tile> tiles;
    const int64_t columns = std::min<int64_t>(8, draw_.count_per_class);
    std::vector<std::vector<uint8_t>> colors;
    colors.reserve(static_cast<size_t>(columns * faces.classes()));
    for (int32_t label = 0; label < static_cast<int32_t>(faces.classes()); ++label) {
      int64_t shown = 0;
      for (int64_t row = 0; row < faces.size() && shown < columns; ++row) {
        if (faces.labels[static_cast<size_t>(row)] != label) continue;
        const auto image = faces.image(row);
        std::vector<uint8_t> color;
        for (size_t k = 0; k < image.size(); ++k) {
          const bool is_evidence = shown % 2 == 1 && faces.evidence[static_cast<size_t>(row) * image.size() + k] != 0;
          color.insert(color.end(),
                       {is_evidence ? static_cast<uint8_t>(image[k] / 2 + 127) : image[k],
                        image[k],
                        is_evidence ? static_cast<uint8_t>(image[k] / 2) : image[k]});
        }
        colors.push_back(std::move(color));
        tiles.push_back(
            {.image = colors.back(),
             .caption = fmt::format(
                 "{}{}", faces.class_names[static_cast<size_t>(label)], shown % 2 == 1 ? " (evidence)" : "")});
        ++shown;
      }
    }
    report::write_gallery(
        file, tiles, columns, "Drawn faces; on every second one its evidence is marked", faces.height, faces.width);
  }

  data::DrawOptions draw_;
  std::string out_;
  bool pictures_ = false;
  bool may_replace_ = false;
};

/// What augmentation does to a few faces.
class PreviewCommand final : public DataCommand<PreviewCommand> {
 public:
  void bind(OptionSet& options) override {
    DataCommand::bind(options);
    augment_.bind(options);
    for (const char* of_pairs : {"mixup", "cutmix"}) options.remove(of_pairs);  // they blend faces of a batch
    options.group("preview");
    options.add(&out_, {.name = "out", .help = "picture to write"});
  }
  int run(const Call& call) override { return ComputingCommand::run(call); }
  int compute(const Call& call) {
    check_out(out_);
    const data::Dataset faces = load(call);
    const std::vector<std::string> kinds{"flip", "rotate", "shift", "zoom", "shear", "brightness", "contrast", "erase"};
    if (std::all_of(kinds.begin(), kinds.end(), [&](const std::string& kind) {
          return call.options.find(kind)->text() == "0";
        }))
      throw_usage("no augmentation is set, so every picture would be the same", "such as --flip 0.5 --rotate 10");
    const data::Augmenter augmenter(augment_, faces.height, faces.width);
    constexpr int64_t kRows = 6;
    constexpr int64_t kVersions = 7;
    std::vector<std::vector<uint8_t>> images;
    std::vector<std::string> captions;
    std::vector<float> values(static_cast<size_t>(faces.pixels_per_image()));
    for (int64_t row = 0; row < std::min(kRows, faces.size()); ++row) {
      images.emplace_back(faces.image(row).begin(), faces.image(row).end());
      captions.push_back("as it is");
      for (int64_t version = 1; version <= kVersions; ++version) {
        augmenter.apply(faces.image(row), 0, version, row, {}, values.data());
        std::vector<uint8_t> bytes;
        for (const float value : values)
          bytes.push_back(static_cast<uint8_t>(std::clamp(value * 255.0F + 0.5F, 0.0F, 255.0F)));
        images.push_back(std::move(bytes));
        captions.push_back(fmt::format("epoch {}", version));
      }
    }
    std::vector<report::Tile> tiles;
    for (size_t i = 0; i < images.size(); ++i) {
      tiles.push_back({.image = std::span(images[i]).first(static_cast<size_t>(faces.height * faces.width)),
                       .caption = captions[i]});
    }
    report::write_gallery(out_, tiles, kVersions + 1, "What augmentation does", faces.height, faces.width);
    call.terminal.result(fmt::format("preview: {}", out_), line_of({{"file", out_}}));
    return 0;
  }

 private:
  data::AugmentOptions augment_;
  std::string out_ = "augmentation.png";
};

template <class T>
CommandSpec command(const char* name, const char* summary) {
  return {name, "Data", summary, [] { return std::make_unique<T>(); }};
}

}  // namespace

std::vector<CommandSpec> data_commands() {
  return {command<InfoCommand>("data info", "faces, classes, sizes of a data set"),
          command<CheckCommand>("data check", "copies within and across splits, conflicting labels"),
          command<ConvertCommand>("data convert", "write any data as csv of any spelling"),
          command<DrawCommand>("data draw", "draw faces whose evidence is known"),
          command<PreviewCommand>("data preview", "a sheet of what augmentation does"),
          crop_command()};
}

}  // namespace mien::cli
