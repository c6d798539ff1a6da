#include "mien/data/csv_writer.h"

#include "data/data_testing.h"

#include "mien/data/readers/csv_reader.h"

namespace mien::data {
namespace {

TEST(CsvWriter, WritesWhatTheReaderReadsBackInEveryStyle) {
  const TemporaryFolder folder;
  Dataset dataset = random_dataset(30, 10);
  for (size_t row = 0; row < dataset.ids.size(); ++row) dataset.ids[row] = static_cast<int64_t>(500 + row);
  dataset.usages[3] = Usage::public_test;
  dataset.usages[4] = Usage::training;
  dataset.labels[5] = kUnlabeled;
  for (const char* const name : {"fer2013", "kaggle-train", "kaggle-test", "course-train", "course-test"}) {
    SCOPED_TRACE(name);
    const auto path = folder.path() / "out.csv";
    write_csv(dataset, path, csv_style(name));
    const Dataset back = read_csv(path, {}, silent_listener());
    EXPECT_TRUE(back.pixels == dataset.pixels);
    EXPECT_EQ(back.height, 10);
    const bool labels = csv_style(name) != CsvStyle::kaggle_test && csv_style(name) != CsvStyle::course_test;
    EXPECT_EQ(back.labels == dataset.labels, labels);
    EXPECT_EQ(back.usages == dataset.usages, csv_style(name) == CsvStyle::fer2013);
    EXPECT_EQ(back.ids == dataset.ids, csv_style(name) == CsvStyle::course_test);
  }
}

TEST(CsvWriter, RefusesWhatACsvCannotSay) {
  const TemporaryFolder folder;
  Dataset dataset = random_dataset(2);
  dataset.class_names = {"yes", "no"};
  EXPECT_EQ(error_of([&] { write_csv(dataset, folder.path() / "a.csv"); }).code(), ErrorCode::bad_data);
  dataset = random_dataset(4);
  dataset.height = 4;
  dataset.width = 16;
  EXPECT_EQ(error_of([&] { write_csv(dataset, folder.path() / "a.csv"); }).code(), ErrorCode::bad_data);
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "a.csv"));
  EXPECT_EQ(error_of([&] { csv_style("fer2014"); }).hint(), "did you mean 'fer2013'?");
}

}  // namespace
}  // namespace mien::data
