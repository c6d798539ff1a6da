#include "mien/data/readers/csv_reader.h"

#include <algorithm>
#include <fstream>

#include "data/data_testing.h"
#include <fmt/format.h>

#include "mien/core/text.h"
#include "mien/data/csv_writer.h"
#include "mien/data/readers/pixel_text.h"

namespace mien::data {
namespace {

/// `count` numbers 0-255 of all lengths, single spaces between them; the same for the same salt.
std::string pixel_text(int64_t count, int salt = 0) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += fmt::format("{}{}", i > 0 ? " " : "", (i * 37 + salt * 11) % 256);
  return text;
}

std::vector<uint8_t> pixel_values(int64_t count, int salt = 0) {
  std::vector<uint8_t> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(static_cast<uint8_t>((i * 37 + salt * 11) % 256));
  return values;
}

Dataset read(const std::string& content, CsvOptions options = {}, ProgressListener& listener = silent_listener()) {
  const TemporaryFolder folder;
  return read_csv(folder.write("faces.csv", content), options, listener);
}

Error read_error(const std::string& content, CsvOptions options = {}) {
  return error_of([&] { read(content, options); });
}

/// A csv of `rows` good rows of 48x48.
std::string good_csv(int rows) {
  std::string text = "emotion,pixels,Usage\n";
  for (int row = 0; row < rows; ++row) text += fmt::format("{},{},Training\n", row % 7, pixel_text(2304, row));
  return text;
}

/// The same with line `row` (from 1) replaced.
std::string with_row(int rows, int row, const std::string& line) {
  std::vector<std::string> lines = split(good_csv(rows), '\n');
  lines[static_cast<size_t>(row)] = line;
  return join(lines, "\n");
}

void expect_contains(const std::string& text, const std::string& part) {
  EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
}

TEST(CsvReader, ReadsEveryPublishedFormOfFer2013) {
  const std::string p0 = pixel_text(2304, 0), p1 = pixel_text(2304, 1);
  struct Form {
    std::string content;
    bool labels, usages, ids;
  };
  const std::vector<Form> forms{
      {fmt::format("emotion,pixels,Usage\n3,{},Training\n5,{},PublicTest\n", p0, p1), true, true, false},
      {fmt::format("emotion, Usage, pixels\n3,Training,{}\n5,PublicTest,{}\n", p0, p1), true, true, false},
      {fmt::format("emotion,pixels\r\n3,\"{}\"\r\n5,\"{}\"\r\n", p0, p1), true, false, false},
      {fmt::format("pixels\r\n\"{}\"\r\n\"{}\"\r\n", p0, p1), false, false, false},
      {fmt::format("label,feature\n3,{}\n5,{}\n", p0, p1), true, false, false},
      {fmt::format("id,feature\n70,{}\n71,{}\n", p0, p1), false, false, true},
      {fmt::format("\xef\xbb\xbf\"EMOTION\", Pixels ,USAGE\n3,{},training\n5,{},publictest", p0, p1),
       true,
       true,
       false},
      {fmt::format("name,pixels,emotion\n\"a, \"\"b\"\"\",{},3\n\n,{},5\n\n", p0, p1), true, false, false},
      {fmt::format("feature,label\n {}  ,3\n\" {} \" , 5\n", p0, p1), true, false, false},
  };
  std::vector<uint8_t> expected = pixel_values(2304, 0);
  const std::vector<uint8_t> second = pixel_values(2304, 1);
  expected.insert(expected.end(), second.begin(), second.end());
  for (const Form& form : forms) {
    SCOPED_TRACE(form.content.substr(0, 40));
    const Dataset dataset = read(form.content);
    ASSERT_EQ(dataset.size(), 2);
    EXPECT_EQ(dataset.height, 48);
    EXPECT_EQ(dataset.width, 48);
    EXPECT_TRUE(dataset.pixels == expected);
    EXPECT_EQ(dataset.labels, form.labels ? (std::vector<int32_t>{3, 5}) : (std::vector<int32_t>{-1, -1}));
    EXPECT_TRUE(dataset.usages == (form.usages ? std::vector{Usage::training, Usage::public_test}
                                               : std::vector{Usage::unknown, Usage::unknown}));
    EXPECT_EQ(dataset.ids, form.ids ? (std::vector<int64_t>{70, 71}) : (std::vector<int64_t>{0, 1}));
    EXPECT_EQ(dataset.checksum.size(), 32U);
  }
}

TEST(CsvReader, ReadsUnusualNumbersAsTheUsualOnes) {
  const std::string usual = pixel_text(2304);
  std::string unusual = "  ";
  for (const std::string& word : split(usual, ' ')) unusual += "000" + word + " \t ";
  EXPECT_TRUE(read("pixels\n" + unusual + "\n").pixels == read("pixels\n" + usual + "\n").pixels);
}

TEST(CsvReader, TakesTheSideFromTheFirstRow) {
  const Dataset dataset = read(fmt::format("label,pixels\n1,{}\n2,{}\n", pixel_text(96 * 96), pixel_text(96 * 96, 1)));
  EXPECT_EQ(dataset.height, 96);
  EXPECT_EQ(dataset.pixels.size(), 2U * 96 * 96);
}

TEST(CsvReader, KeepsAnEmptyLabelAsUnlabeled) {
  const Dataset dataset = read(fmt::format("emotion,pixels,Usage\n,{},PrivateTest\n", pixel_text(2304)));
  EXPECT_EQ(dataset.labels, std::vector<int32_t>{kUnlabeled});
  EXPECT_TRUE(dataset.usages == std::vector{Usage::private_test});
}

TEST(CsvReader, ReportsTheRowAndLineOfAWrongPixelCount) {
  const Error error = read_error(with_row(20, 17, "0," + pixel_text(2303) + ",Training"));
  EXPECT_EQ(error.code(), ErrorCode::bad_data);
  expect_contains(error.what(), "faces.csv: row 16 (line 18) has 2303 pixels, expected 2304 (48x48)");
  expect_contains(error.hint(), "--skip-bad-rows");
  expect_contains(read_error(with_row(3, 2, "0," + pixel_text(2305) + ",Training")).what(),
                  "row 1 (line 3) has 2305 pixels");
}

TEST(CsvReader, CountsBlankLinesAsLinesOnly) {
  std::string text = with_row(3, 3, "9," + pixel_text(2304) + ",Training");
  text.insert(text.find('\n') + 1, "\r\n \n");
  expect_contains(read_error(text).what(), "row 2 (line 6)");
}

TEST(CsvReader, ReportsTheRowOfAPixelOf256) {
  std::string pixels = pixel_text(2304);
  pixels.replace(0, pixels.find(' '), "256");
  expect_contains(read_error(with_row(3, 2, "0," + pixels + ",Training")).what(),
                  "row 1 (line 3) has '256' as pixel 1, expected a whole number from 0 to 255");
}

TEST(CsvReader, ReportsTextWhereAPixelBelongs) {
  for (const std::string bad : {"x", "-1", "1.5", "1e2", "", "99999999999999999999", "1\"2"}) {
    const std::string pixels = bad.empty() ? pixel_text(2303) : pixel_text(2303) + " " + bad;
    const std::string expected = bad.empty() ? "has 2303 pixels" : fmt::format("'{}' as pixel 2304", bad);
    expect_contains(read_error(with_row(3, 1, "0," + pixels + ",Training")).what(), expected);
  }
}

TEST(CsvReader, ReportsABadLabel) {
  for (const std::string bad : {"7", "-1", "bored", "3.5", "99999999999999999999"}) {
    const Error error = read_error(with_row(3, 2, bad + "," + pixel_text(2304) + ",Training"));
    expect_contains(error.what(), fmt::format("row 1 (line 3) has the label '{}', expected 0 to 6", bad));
  }
}

TEST(CsvReader, ReportsABadUsage) {
  expect_contains(read_error(with_row(2, 2, "1," + pixel_text(2304) + ",Tested")).what(),
                  "row 1 (line 3) has the Usage 'Tested'");
}

TEST(CsvReader, TakesAnIdThatIsTextAsTheFacesName) {
  const Dataset dataset =
      read("id,feature\n" + fmt::format("a/1.png,{}\nb.png,{}\n", pixel_text(2304), pixel_text(2304, 1)));
  EXPECT_EQ(dataset.files, (std::vector<std::string>{"a/1.png", "b.png"}));
}

TEST(CsvReader, ReadsLabelsAsWordsWithSynonymsAndAsWholeNumbersWithAPoint) {
  std::string text = "emotion,pixels\n";
  for (const char* label : {"Anger", "happiness", "3.0", "\"surprised\"", "NEUTRAL", "", "6"}) {
    text += fmt::format("{},{}\n", label, pixel_text(64));
  }
  EXPECT_EQ(read(text).labels, (std::vector<int32_t>{0, 3, 3, 5, 6, kUnlabeled, 6}));
}

TEST(CsvReader, ReadsEightClassesThatAreNamed) {
  const std::string text = fmt::format("label,pixels\n7,{0}\ncontempt,{0}\n0,{0}\n", pixel_text(64));
  expect_contains(read_error(text).what(), "row 0 (line 2) has the label '7', expected 0 to 6");
  expect_contains(read_error(text).hint(), "--classes");
  const Dataset dataset = read(text, {.classes = "neutral,happy,surprise,sad,anger,disgust,fear,contempt"});
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{7, 7, 0}));
  EXPECT_EQ(dataset.class_names[7], "contempt");
  const Dataset raf = read(fmt::format("label,pixels\n1,{0}\n7,{0}\n", pixel_text(64)),
                           {.classes = "1=surprise,2=fear,3=disgust,4=happy,5=sad,6=angry,7=neutral"});
  EXPECT_EQ(raf.labels, (std::vector<int32_t>{5, 6})) << "FER2013's seven keep FER2013's order";
}

TEST(CsvReader, FindsALabelColumnOfAnotherName) {
  for (const char* name :
       {"Emotions", "class", "expression", "target", "emotion_label", "\xe9motion", "\xc3\xa9motion"}) {
    EXPECT_EQ(read(fmt::format("{},pixels\n4,{}\n", name, pixel_text(64))).labels, std::vector<int32_t>{4}) << name;
  }
  const std::string words = fmt::format("mood,age,pixels\nhappy,31,{0}\nsad,4,{0}\n", pixel_text(64));
  EXPECT_EQ(read(words).labels, (std::vector<int32_t>{3, 4}));
}

TEST(CsvReader, NamesTheColumnsThatMayHoldLabelsInsteadOfLeavingRowsUnlabeledInSilence) {
  const std::string text = fmt::format("fold,name,pixels\n1,a,{0}\n2,b,{0}\n", pixel_text(64));
  const Error error = read_error(text);
  expect_contains(error.what(), "'fold' may hold the labels");
  expect_contains(error.hint(), "--label-column");
  EXPECT_EQ(read(text, {.label_column = "fold"}).labels, (std::vector<int32_t>{1, 2}));
  EXPECT_EQ(read(text, {.label_column = "none"}).labels, (std::vector<int32_t>{-1, -1}));
  EXPECT_EQ(read(text, {.labels = false}).labels, (std::vector<int32_t>{-1, -1})) << "predictions ask for none";
  EXPECT_EQ(read_error(text, {.label_column = "nmae"}).code(), ErrorCode::usage);
  RecordingListener listener;
  read(fmt::format("name,pixels\nx,{}\n", pixel_text(64)), {}, listener);
  ASSERT_EQ(listener.warnings.size(), 1U);
  expect_contains(listener.warnings[0], "its faces are unlabeled");
}

TEST(CsvReader, ReadsUsageAsTrainValidAndTest) {
  const auto usages = [](const std::vector<const char*>& words) {
    std::string text = "label,pixels,split\n";
    for (const char* word : words) text += fmt::format("1,{},{}\n", pixel_text(64), word);
    return read(text).usages;
  };
  EXPECT_TRUE(usages({"train", "Valid", "test"}) ==
              (std::vector{Usage::training, Usage::public_test, Usage::private_test}));
  EXPECT_TRUE(usages({"train", "test"}) == (std::vector{Usage::training, Usage::public_test}));
}

TEST(CsvReader, ReadsUtf16AndLinesThatEndInCarriageReturns) {
  const std::string text = fmt::format("label,pixels\n3,{0}\n4,{0}\n", pixel_text(64));
  std::string little = "\xff\xfe", big = "\xfe\xff", returns = text;
  for (const char c : text) {
    little += {c, '\0'};
    big += {'\0', c};
  }
  std::replace(returns.begin(), returns.end(), '\n', '\r');
  for (const std::string& spelling : {little, big, returns}) {
    const Dataset dataset = read(spelling);
    EXPECT_EQ(dataset.labels, (std::vector<int32_t>{3, 4}));
    EXPECT_TRUE(dataset.pixels == read(text).pixels);
  }
}

TEST(CsvReader, TakesTheSideFromMostOfTheFirstRowsWhereTheFirstIsCut) {
  const Error error = read_error(with_row(5, 1, "0," + pixel_text(40 * 40) + ",Training"));
  expect_contains(error.what(), "row 0 (line 2) has 1600 pixels, expected 2304 (48x48)");
}

TEST(CsvReader, NamesArchivesAndOtherFilesForWhatTheyAre) {
  const TemporaryFolder folder;
  std::string tar(300, '\0');
  tar.replace(257, 5, "ustar");
  const std::vector<std::pair<std::string, const char*>> files{
      {"PK\3\4 data/train.csv", "a zip archive"},
      {"PK\3\4 [Content_Types].xml", "Excel"},
      {"\x1f\x8b\x08", "a gzip archive"},
      {"\xfd"
       "7zXZ" +
           std::string(1, '\0'),
       "an xz archive"},
      {"7z\xbc\xaf\x27\x1c", "a 7z archive"},
      {tar, "a tar archive"},
      {"PAR1....", "a parquet table"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "a Git LFS pointer"},
      {"\n <!DOCTYPE html><html>", "a web page"},
      {"\x93NUMPY\1", "a numpy array"},
  };
  for (const auto& [bytes, what] : files) {
    const auto path = folder.write("train.csv", bytes);
    const Error error = error_of([&] { read_csv(path, {}, silent_listener()); });
    EXPECT_EQ(error.code(), ErrorCode::bad_data);
    expect_contains(error.what(), what);
    EXPECT_FALSE(error.hint().empty()) << what;
  }
}

TEST(CsvReader, ReportsACutLastLine) {
  const std::string text = good_csv(3);
  const Error in_pixels = read_error(text.substr(0, text.size() - 300));
  expect_contains(in_pixels.what(), "row 2 (line 4) has 22");
  expect_contains(in_pixels.what(), "as if the file were cut");
  const Error in_usage = read_error(text.substr(0, text.size() - 10));
  expect_contains(in_usage.what(), "row 2 (line 4) has 2 cells, expected 3");
  const Error after_label = read_error(text.substr(0, text.rfind(',', text.size() - 20) + 5));
  expect_contains(after_label.what(), "row 2 (line 4) has 2 pixels");
}

TEST(CsvReader, ReportsQuotesThatDoNotMatch) {
  expect_contains(read_error(with_row(2, 1, "0,\"" + pixel_text(2304) + ",Training")).what(),
                  "row 0 (line 2) has a quote in cell 2");
  expect_contains(read_error(with_row(2, 1, "0,\"" + pixel_text(2304) + "\"x,Training")).what(),
                  "row 0 (line 2) has a quote in cell 2");
}

TEST(CsvReader, ReportsRowsWithMoreCellsThanTheHeader) {
  expect_contains(read_error(with_row(2, 2, "0," + pixel_text(2304) + ",Training,1")).what(),
                  "row 1 (line 3) has 4 cells, expected 3");
}

TEST(CsvReader, ReportsWhatIsWrongWithTheFile) {
  const TemporaryFolder folder;
  const auto error = [](const std::filesystem::path& path) {
    return error_of([&] { read_csv(path, {}, silent_listener()); });
  };
  expect_contains(error(folder.path() / "none.csv").what(), "none.csv: No such file");
  expect_contains(error(folder.path()).what(), "it is a directory");
  expect_contains(error(folder.write("empty.csv", "")).what(), "it is empty");
  expect_contains(error(folder.write("blank.csv", "\n\r\n ")).what(), "it is empty");
  expect_contains(error(folder.write("header.csv", "emotion,pixels\n")).what(), "no rows");
  const Error wrong = error(folder.write("wrong.csv", "a,b\n1,2\n"));
  expect_contains(wrong.what(), "has the columns 'a', 'b', expected a column 'pixels' or 'feature'");
  expect_contains(error(folder.write("semicolon.csv", "emotion;pixels\n1;2\n")).hint(), "separated by commas");
  expect_contains(error(folder.write("twice.csv", "label,emotion,pixels\n1,2,3\n")).what(),
                  "columns 1 and 2 both hold");
  for (const char* const name : {"none.csv", "empty.csv", "header.csv", "wrong.csv"}) {
    EXPECT_EQ(error(folder.path() / name).code(), ErrorCode::bad_data);
  }
}

TEST(CsvReader, LeavesBadRowsOutOnRequestWithOneWarning) {
  std::vector<std::string> lines = split(good_csv(9), '\n');
  lines[2] = "0,1 2 3,Training";                         // too short to be looked at
  lines[5] = "0," + pixel_text(2303) + " 999,Training";  // long enough
  lines[9] = "8," + pixel_text(2304) + ",Training";
  RecordingListener listener;
  const Dataset dataset = read(join(lines, "\n"), {.skip_bad_rows = true}, listener);
  EXPECT_EQ(dataset.ids, (std::vector<int64_t>{0, 2, 3, 5, 6, 7}));
  EXPECT_EQ(dataset.labels, (std::vector<int32_t>{0, 2, 3, 5, 6, 0}));
  const Dataset good = read(good_csv(9));
  for (int64_t i = 0; i < dataset.size(); ++i) {
    const auto expected = good.image(dataset.ids[static_cast<size_t>(i)]);
    EXPECT_TRUE(std::equal(expected.begin(), expected.end(), dataset.image(i).begin()));
  }
  ASSERT_EQ(listener.warnings.size(), 1U);
  expect_contains(listener.warnings[0],
                  "left out 3 of 9 rows that cannot be read; the first: row 1 (line 3) has 3 pixels");
}

TEST(CsvReader, ThrowsWhenEveryRowIsBadEvenIfBadRowsMayBeSkipped) {
  expect_contains(read_error("pixels\n1 2 3\n4\n", {.skip_bad_rows = true}).what(), "none of its 2 rows can be read");
}

TEST(CsvReader, ReportsTheFirstBadRowWhateverTheThreads) {
  std::vector<std::string> lines = split(good_csv(400), '\n');  // 3.3 MB: several parts
  lines[390] = "0,1,Training";
  lines[250] = "9," + pixel_text(2304) + ",Training";
  lines[350] = "0," + pixel_text(2304) + ",Nonsense";
  lines[120] = "0," + pixel_text(2303) + ",Training";
  const std::string content = join(lines, "\n");
  std::vector<std::string> messages;
  for (const int count : {1, 2, 3, 7}) {
    const ThreadCount use(count);
    messages.emplace_back(read_error(content).what());
    expect_contains(messages.back(), "row 119 (line 121) has 2303 pixels");
    RecordingListener listener;
    EXPECT_EQ(read(content, {.skip_bad_rows = true}, listener).size(), 396);
    expect_contains(listener.warnings.at(0),
                    "left out 4 of 400 rows that cannot be read; the first: row 119 (line 121)");
  }
}

TEST(CsvReader, GivesTheSameDataWhateverTheThreads) {
  const std::string content = good_csv(400);
  set_threads(1);
  const Dataset one = read(content);
  for (const int count : {2, 3, 16}) {
    const ThreadCount use(count);
    expect_same(one, read(content));
  }
}

TEST(CsvReader, KeepsMemoryBoundedForManyTinyRows) {
  std::string content = "pixels\n";
  for (int i = 0; i < 500'000; ++i) content += "1\n";  // would be 1.1 GB of pixels if each were given room
  expect_contains(read_error(content, {.skip_bad_rows = true}).what(), "none of its 500,000 rows");
}

TEST(PixelText, AgreesWithItsDefinitionWhereverTheFastPathDecides) {
  RandomStream random(7, "pixel text");
  int decided = 0;
  constexpr int64_t kCount = 100;
  for (int round = 0; round < 20'000; ++round) {
    std::string cell = pixel_text(kCount, round);
    const char alphabet[] = "0123456789  \t-x.";
    for (uint64_t edits = random.below(3); edits > 0; --edits) {
      const size_t at = random.below(cell.size());
      switch (random.below(3)) {
        case 0:
          cell[at] = alphabet[random.below(sizeof alphabet - 1)];
          break;
        case 1:
          cell.erase(at, 1);
          break;
        default:
          cell.insert(at, 1, alphabet[random.below(sizeof alphabet - 1)]);
          break;
      }
    }
    const std::string buffer = "xxxx" + cell + "," + std::string(64, '1');
    std::array<uint8_t, kCount> fast{}, slow{};
    const char* const begin = buffer.data() + 4;
    const char* const end = parse_usual_pixels(begin, buffer.data() + buffer.size(), kCount, fast.data());
    if (end == nullptr) continue;
    ++decided;
    const auto problem = parse_pixels({begin, static_cast<size_t>(end - begin)}, kCount, slow.data());
    ASSERT_FALSE(problem.has_value()) << cell << ": " << *problem;
    ASSERT_EQ(fast, slow) << cell;
  }
  EXPECT_GT(decided, 5'000);
  EXPECT_LT(decided, 19'000);
}

TEST(PixelText, DecidesEveryCellOfTheUsualSpelling) {
  for (int salt = 0; salt < 300; ++salt) {
    const std::string buffer = "row," + pixel_text(100, salt) + "\n" + std::string(64, ' ');
    std::array<uint8_t, 100> out{};
    EXPECT_NE(parse_usual_pixels(buffer.data() + 4, buffer.data() + buffer.size(), 100, out.data()), nullptr);
    EXPECT_TRUE(std::equal(out.begin(), out.end(), pixel_values(100, salt).begin()));
  }
}

TEST(CsvReader, SurvivesRandomDamage) {
  // 8x8 images keep the file small, so that thousands of damaged ones are read in a second.
  std::string good = "emotion,\"pixels\", Usage ,id\r\n";
  for (int row = 0; row < 6; ++row) {
    good +=
        fmt::format("{},{}{}{},Training,{}\n", row, row % 2 ? "\"" : "", pixel_text(64, row), row % 2 ? "\"" : "", row);
  }
  const TemporaryFolder folder;
  RandomStream random(11, "csv damage");
  const std::string alphabet =
      std::string("0123456789,,\"\"\n\n\r \t;x-.eE\xef\xbb\xbf\xff", 29) + std::string(1, '\0');
  int read_ok = 0;
  int refused = 0;
  for (int round = 0; round < 4'000; ++round) {
    std::string text = good;
    for (uint64_t edits = 1 + random.below(6); edits > 0 && !text.empty(); --edits) {
      const size_t at = random.below(text.size());
      const size_t length = 1 + random.below(random.below(8) == 0 ? 300 : 3);
      switch (random.below(5)) {
        case 0:
          text[at] = alphabet[random.below(alphabet.size())];
          break;
        case 1:
          text.erase(at, length);
          break;
        case 2:
          text.insert(at, length, alphabet[random.below(alphabet.size())]);
          break;
        case 3:
          text.insert(at, text.substr(random.below(text.size()), length));
          break;
        default:
          text.resize(at);
          break;
      }
    }
    const auto path = folder.path() / "damaged.csv";
    std::ofstream(path, std::ios::binary) << text;  // without the fsync of write_atomic: thousands of files
    const CsvOptions options{.skip_bad_rows = random.below(2) == 0};
    try {
      const Dataset dataset = read_csv(path, options, silent_listener());
      ++read_ok;
      ASSERT_GT(dataset.size(), 0);
      ASSERT_EQ(dataset.pixels.size(), static_cast<size_t>(dataset.size() * dataset.pixels_per_image()));
      ASSERT_EQ(dataset.usages.size(), dataset.labels.size());
      ASSERT_EQ(dataset.ids.size(), dataset.labels.size());
      for (const int32_t label : dataset.labels) ASSERT_TRUE(label >= -1 && label < 7);
    } catch (const Error& error) {
      ++refused;
      ASSERT_EQ(error.code(), ErrorCode::bad_data);
      ASSERT_EQ(error.line().find('\n'), std::string::npos);
      ASSERT_LT(error.line().size(), 1000U) << error.line();
    }
  }
  EXPECT_GT(read_ok, 500);
  EXPECT_GT(refused, 500);
}

}  // namespace
}  // namespace mien::data
