"""fitness.py: the words of Running & Fitness -> Department."""

from service.demo.vocabulary import Department, kind

FITNESS = Department(
    "Running & Fitness",
    codes=False,
    kinds=(
        kind(
            "road running shoes",
            "Running > Road Shoes",
            (65, 260),
            nouns="road running shoes | daily trainers | cushioned runners | racing flats",
            asked="shoes for jogging | soft shoes for a marathon | sneakers for running on tarmac",
            made="engineered mesh | recycled knit | foam and mesh",
            has="a rocker sole | a soft heel | a reflective heel tab | a wide toe box"
            " | a carbon plate",
            uses="marathon training | easy miles | tempo runs | heavy runners",
            says="The foam still springs back after 600 km."
            " | They were tested on tarmac, track and the school run."
            " | Made for jogging as much as for race day.",
            sizes="EU 38 | EU 40 | EU 42 | EU 44 | EU 46",
            audience="women | men",
            goes="running shirt | sports watch",
            form="many",
        ),
        kind(
            "trail running shoes",
            "Running > Trail Shoes",
            (75, 240),
            nouns="trail shoes | fell-running shoes | off-road runners",
            asked="running shoes for mud | grippy shoes for forest runs"
            " | shoes for mountain running",
            made="ripstop mesh | welded mesh | recycled polyester",
            has="5 mm lugs | a rock plate | a gusseted tongue | quick laces | a toe guard",
            uses="muddy woods | alpine races | ultra distances | gravel paths",
            says="The lugs bite into mud and let go of it again."
            " | Water runs out as fast as it comes in."
            " | Grippy enough for wet roots.",
            sizes="EU 38 | EU 40 | EU 42 | EU 44 | EU 46",
            audience="women | men",
            goes="running vest | wool socks",
            form="many",
        ),
        kind(
            "running shirt",
            "Running > Clothing",
            (19, 95),
            nouns="running tee | training singlet | long-sleeve running top",
            asked="breathable t-shirt for sport | jogging top | sweat-wicking shirt",
            made="recycled polyester | merino and nylon | open mesh",
            has="flat seams | reflective prints | a small zip pocket | thumb holes",
            uses="hot days | interval sessions | cool mornings | the gym",
            says="Moves sweat away before it cools you down."
            " | So light that you forget it."
            " | Dries on the line in half an hour.",
            sizes="S | M | L | XL",
            audience="women | men",
            goes="road running shoes",
        ),
        kind(
            "running vest",
            "Running > Packs",
            (39, 180),
            nouns="race vest | hydration vest | running pack",
            asked="backpack for running | carry water while jogging | ultra marathon bag",
            made="stretch mesh | ripstop nylon | recycled polyamide",
            has="two soft flasks | a whistle | pole loops | six front pockets | a phone sleeve",
            uses="ultra distances | long training runs | running to work",
            says="Sits like a piece of clothing and does not bounce."
            " | You reach every pocket without stopping.",
            sizes="5 L | 8 L | 12 L",
            audience="women | men",
            goes="trail running shoes | head torch",
        ),
        kind(
            "sports watch",
            "Electronics > Sports Watches",
            (79, 560),
            nouns="GPS watch | sports watch | multisport watch",
            asked="fitness tracker | watch that measures heart rate | smartwatch for runners",
            made="fibre-reinforced polymer | titanium | stainless steel",
            has="a heart rate sensor | offline maps | a barometer | a bright display"
            " | two weeks of battery",
            uses="triathlons | marathon training | open-water swimming | mountain tours",
            says="Finds the satellites before you have tied your shoes."
            " | Tracks sleep, steps and every interval."
            " | The buttons work with gloves and wet fingers.",
            sizes="42 mm | 46 mm | 51 mm",
            goes="road running shoes",
        ),
        kind(
            "yoga mat",
            "Fitness > Mats",
            (15, 120),
            nouns="yoga mat | exercise mat | pilates mat",
            asked="non-slip mat for stretching | mat for floor exercises | gym mat for home",
            made="natural rubber | cork and rubber | PVC-free foam",
            has="alignment lines | a carry strap | a two-sided grip | rounded corners",
            uses="hot yoga | stretching | floor workouts | travel",
            says="Does not slide, even when the hands get wet."
            " | Thick enough for knees and elbows."
            " | Wipes clean with a damp cloth.",
            sizes="3 mm | 4 mm | 6 mm | 10 mm",
            goes="resistance bands | foam roller",
        ),
        kind(
            "dumbbells",
            "Fitness > Weights",
            (19, 290),
            nouns="dumbbells | adjustable dumbbells | hex dumbbells",
            asked="hand weights | weights for a home gym | strength training at home",
            made="cast iron | rubber-coated steel | neoprene-coated iron",
            has="knurled grips | a quick-change dial | a storage tray"
            " | flat sides that do not roll",
            uses="home workouts | strength training | rehab | small flats",
            says="They are checked to within two percent of the stated weight."
            " | The coating is kind to wooden floors."
            " | A whole home gym in the space of a shoebox.",
            sizes="2 x 2 kg | 2 x 5 kg | 2 x 10 kg | 2 x 20 kg",
            goes="yoga mat",
            form="many",
        ),
        kind(
            "resistance bands",
            "Fitness > Bands",
            (9, 59),
            nouns="resistance bands | loop bands | pull-up bands",
            asked="elastic bands for exercise | rubber bands for physio | stretch bands",
            made="natural latex | woven cotton and rubber | TPE",
            has="five strengths | a door anchor | foam handles | a pouch",
            uses="warm-ups | physio exercises | travel | pull-up practice",
            says="They replace a rack of weights in a hotel room."
            " | Colours tell the strengths apart at a glance.",
            goes="yoga mat | foam roller",
            form="many",
            colours=False,
        ),
        kind(
            "foam roller",
            "Fitness > Recovery",
            (14, 79),
            nouns="foam roller | massage roller | fascia roller",
            asked="massage for sore muscles | roll out tight legs | recovery after running",
            made="EPP foam | EVA foam | cork",
            has="a ridged surface | a hollow core | a carry bag | a vibrating core",
            uses="sore calves | back pain | cool-downs | after long runs",
            says="Two minutes per leg after a run work wonders."
            " | Firm enough to do some good, soft enough to do it daily.",
            sizes="30 cm | 45 cm | 90 cm",
            goes="resistance bands",
        ),
    ),
)
